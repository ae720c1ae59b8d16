// As-of join: each sale with the price that was in force at its time.

import { type Context, exportProcess, Reject, showSpan } from "../.sdk/javascript/refrain.js";

interface Sale {
  at: number;
  sale_id: number;
  pieces: number;
}

interface Price {
  at: number;
  cents: number | null;
}

/** Sales that wait for the watermark, and prices, each in order of times. */
interface Kept {
  sales: Sale[];
  prices: Price[];
}

export const { about, process } = exportProcess({
  name: "priced",
  doc: "Sales with the price of their time, null where there was none.",
  inputs: {
    sales: { sale_id: "i64", pieces: "i64" },
    prices: { cents: "i64?" }, // null: not sold from then on
  },
  outputs: { sale_id: "i64", pieces: "i64", cents: "i64?", total_cents: "i64?" },

  state: (): Kept => ({ sales: [], prices: [] }),

  check: {
    sales(_, sale, { time, watermark }) {
      if (time < watermark)
        throw new Reject(`too late: ${showSpan(watermark - time)} behind the watermark and what is waited for`);
    },
    prices({ prices: [first] }, price, { time, watermark }) {
      if (first && time < first.at && first.at <= watermark)
        throw new Reject(`too late: a version that is ${showSpan(first.at - time)} newer is in force`);
    },
  },

  process: {
    sales(kept, sale, context) {
      const before = due(kept);
      insert(kept.sales, { at: context.time, ...sale });
      moveTimer(context, before, due(kept));
    },
    prices(kept, { cents }, context) {
      const before = due(kept);
      insert(kept.prices, { at: context.time, cents });
      prune(kept, context.watermark);
      moveTimer(context, before, due(kept));
    },
  },

  fire(kept, context) {
    while (kept.sales.length && kept.sales[0].at < context.watermark) {
      const { at, sale_id, pieces } = kept.sales.shift()!;
      const cents = kept.prices.findLast((price) => price.at <= at)?.cents ?? null;
      // BigInt, for a product of two integers may leave what numbers hold exactly.
      const total_cents = cents === null ? null : BigInt.asIntN(64, BigInt(cents) * BigInt(pieces));
      context.emit({ sale_id, pieces, cents, total_cents });
    }
    prune(kept, context.watermark);
    moveTimer(context, null, due(kept));
  },
});

/** Behind what has the same time, which came before. */
function insert<T extends { at: number }>(list: T[], entry: T) {
  list.splice(list.findLastIndex(({ at }) => at <= entry.at) + 1, 0, entry);
}

/** Forgets the prices that no sale in time can ask for. */
function prune({ prices }: Kept, watermark: number) {
  while (prices.length > 1 && prices[1].at <= watermark) prices.shift();
  if (prices.length && prices[0].cents === null && prices[0].at <= watermark) prices.shift();
}

/** When the watermark is such that a sale can be answered or a price forgotten. */
function due({ sales, prices }: Kept): number | null {
  const times: number[] = [];
  if (sales.length) times.push(sales[0].at + 1);
  if (prices.length && prices[0].cents === null) times.push(prices[0].at);
  if (prices.length > 1) times.push(prices[1].at);
  return times.length ? Math.min(...times) : null;
}

/** Puts the one timer of a key where it is due now. */
function moveTimer(context: Context, before: number | null, after: number | null) {
  if (before === after) return;
  if (before !== null) context.clearTimer(before);
  if (after !== null) context.setTimer(after);
}
