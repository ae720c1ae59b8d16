"""As-of join: each sale with the price that was in force at its time."""

from bisect import insort
from operator import itemgetter

from refrain import Reject, dataclass, export_process, field, show_span

time_of = itemgetter(0)


@dataclass
class Sale:
    sale_id: int
    pieces: int


@dataclass
class Price:
    cents: int | None  # None: not sold from then on


class Priced:
    """Sales with the price of their time, null where there was none."""

    inputs = {"sales": Sale, "prices": Price}

    @dataclass
    class State:
        """Sales that wait for the watermark, and prices, each with its time and in order of times."""

        sales: list[tuple[int, Sale]] = field(default_factory=list)
        prices: list[tuple[int, int | None]] = field(default_factory=list)

    @dataclass
    class Output:
        sale_id: int
        pieces: int
        cents: int | None
        total_cents: int | None

    @staticmethod
    def check_sales(kept, sale, now):
        if now.time < now.watermark:
            raise Reject(f"too late: {show_span(now.watermark - now.time)} behind the watermark and what is waited for")

    @staticmethod
    def check_prices(kept, price, now):
        if kept.prices and now.time < kept.prices[0][0] <= now.watermark:
            raise Reject(f"too late: a version that is {show_span(kept.prices[0][0] - now.time)} newer is in force")

    @staticmethod
    def process_sales(kept, sale, context):
        before = due(kept)
        insort(kept.sales, (context.time, sale), key=time_of)
        move_timer(context, before, due(kept))

    @staticmethod
    def process_prices(kept, price, context):
        before = due(kept)
        insort(kept.prices, (context.time, price.cents), key=time_of)
        prune(kept, context.watermark)
        move_timer(context, before, due(kept))

    @staticmethod
    def fire(kept, context):
        while kept.sales and kept.sales[0][0] < context.watermark:
            at, sale = kept.sales.pop(0)
            cents = price_at(kept, at)
            total = None if cents is None else wrap(cents * sale.pieces)
            context.emit(Priced.Output(sale.sale_id, sale.pieces, cents, total))
        prune(kept, context.watermark)
        move_timer(context, None, due(kept))


def wrap(number):
    """64-bit arithmetic: a product that leaves the range of i64 comes back at its other end."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def price_at(kept, time):
    """The price in force: that of the last time that is not after this one."""
    return next((cents for at, cents in reversed(kept.prices) if at <= time), None)


def prune(kept, watermark):
    """Forgets the prices that no sale in time can ask for."""
    while len(kept.prices) > 1 and kept.prices[1][0] <= watermark:
        kept.prices.pop(0)
    if kept.prices and kept.prices[0][1] is None and kept.prices[0][0] <= watermark:
        kept.prices.pop(0)


def due(kept):
    """When the watermark is such that a sale can be answered or a price forgotten."""
    answered = [at + 1 for at, _ in kept.sales[:1]]
    gone = [at for at, cents in kept.prices[:1] if cents is None]
    replaced = [at for at, _ in kept.prices[1:2]]
    return min(answered + gone + replaced, default=None)


def move_timer(context, before, after):
    """Puts the one timer of a key where it is due now."""
    if before == after:
        return
    if before is not None:
        context.clear_timer(before)
    if after is not None:
        context.set_timer(after)


About, Process = export_process(Priced, "priced")
