// Views, likes and completions of content, with the time watched and the share of views that were completed.

import { exportFold, Reject } from "../.sdk/javascript/refrain.js";

export const engagement = {
  name: "engagement",
  doc: "How much a piece of content was viewed, liked, watched and completed.",
  inputs: { kind: "text", watch_ms: "i64" },
  outputs: { views: "i64", likes: "i64", completes: "i64", watch_ms: "i64", completion_rate: "f64" },

  state: () => ({ views: 0, likes: 0, completes: 0, watch_ms: 0 }),

  check(totals, event) {
    if (!Number.isSafeInteger(totals.watch_ms + event.watch_ms)) throw new Reject("the sum of watch_ms would pass 2^53");
  },

  update(totals, event) {
    if (event.kind === "view") totals.views++;
    else if (event.kind === "like") totals.likes++;
    else if (event.kind === "complete") totals.completes++;
    totals.watch_ms += event.watch_ms;
  },

  evaluate: ({ views, likes, completes, watch_ms }) => ({
    views,
    likes,
    completes,
    watch_ms,
    completion_rate: views ? completes / views : 0,
  }),
};

export const { about, fold } = exportFold(engagement);
