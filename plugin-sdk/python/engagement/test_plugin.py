"""Natively, without Wasm: `PYTHONPATH=../.sdk/python:.. python3 -m unittest` in this folder."""

import unittest

from plugin import Engagement
from refrain import restore_state, save_state


class Test(unittest.TestCase):
    def test_counts_each_kind_and_sums_all_watch_time(self):
        totals = Engagement.State()
        for kind, watch_ms in [("view", 10), ("view", 20), ("like", 0), ("complete", 30), ("share", 40)]:
            Engagement.update(totals, Engagement.Input(kind, watch_ms))
        self.assertEqual(Engagement.evaluate(totals), Engagement.Output(2, 1, 1, 100, 0.5))

    def test_a_state_survives_its_bytes(self):
        totals = Engagement.State(1, 2, 3, -4)
        self.assertEqual(restore_state(Engagement.State, save_state(totals)), totals)
