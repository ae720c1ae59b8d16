"""Natively, without Wasm: `PYTHONPATH=../.sdk/python:.. python3 -m unittest` in this folder."""

import unittest

from plugin import Price, Priced, Sale
from refrain import Context, Moment, Reject, restore_state, save_state


def second(count):
    return count * 1_000_000


class Test(unittest.TestCase):
    def test_a_sale_has_the_price_of_its_time_whatever_comes_first(self):
        kept = Priced.State()
        Priced.process_sales(kept, Sale(1, 2), Context(second(20)))
        for at, cents in [(10, 300), (20, 350), (25, None)]:
            Priced.process_prices(kept, Price(cents), Context(second(at)))
        fired = Context(second(20) + 1, second(21))
        Priced.fire(kept, fired)
        self.assertEqual(fired.rows, [Priced.Output(1, 2, 350, 700)])
        self.assertEqual(fired.timers, [(second(25), False)])
        self.assertEqual(restore_state(Priced.State, save_state(kept)), kept)

    def test_a_timer_is_where_the_next_sale_is_due(self):
        kept, context = Priced.State(), Context(second(5))
        Priced.process_sales(kept, Sale(1, 2), context)
        context = Context(second(3))
        Priced.process_sales(kept, Sale(2, 2), context)
        self.assertEqual(context.timers, [(second(5) + 1, True), (second(3) + 1, False)])
        self.assertEqual(restore_state(Priced.State, save_state(kept)), kept)

    def test_a_late_sale_is_refused(self):
        with self.assertRaisesRegex(Reject, "too late: 2s behind"):
            Priced.check_sales(Priced.State(), Sale(1, 2), Moment(second(5), second(7)))
