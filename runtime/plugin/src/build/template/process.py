"""Says which orders were not paid in time: rows of two inputs with the same key, and a timer."""

from refrain import Span, dataclass, export_process, option


# The inputs, each with the fields that are wanted, with the names and types that they have in the topic.
@dataclass
class Order:
    """What was ordered."""

    order_id: int


@dataclass
class Payment:
    """What was paid."""

    order_id: int


class Plugin:
    """Orders that were not paid in time."""

    # The pipeline file says which topic each is: input = { orders = "..", payments = ".." }
    inputs = {"orders": Order, "payments": Payment}

    @dataclass
    class Options:
        patience: Span = option("10m", "How long after an order its payment is waited for.")

    @dataclass
    class State:
        """What is kept for each key."""

        order_id: int | None = None

    @dataclass
    class Output:
        """The fields of the rows that it gives, beside the key."""

        order_id: int

    @staticmethod
    def process_orders(open, order, context):
        open.order_id = order.order_id
        context.set_timer(context.time + Plugin.options.patience)

    @staticmethod
    def process_payments(open, payment, context):
        if open.order_id == payment.order_id:
            open.order_id = None

    @staticmethod
    def fire(open, context):
        if open.order_id is not None:
            context.emit(Plugin.Output(open.order_id))
            open.order_id = None


About, Process = export_process(Plugin, "NAME")
