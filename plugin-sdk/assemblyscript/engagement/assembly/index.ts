// Views, likes and completions of content, with the time watched and the share of views that were completed.

import { Fold, exportFold, inputs, outputs } from "../../.sdk/assemblyscript/fold";

const kind = inputs.text("kind");
const watched = inputs.i64("watch_ms");

const views = outputs.i64("views");
const likes = outputs.i64("likes");
const completes = outputs.i64("completes");
const watch = outputs.i64("watch_ms");
const rate = outputs.f64("completion_rate");

@unmanaged
class Totals {
  views: i64;
  likes: i64;
  completes: i64;
  watch_ms: i64;
}

class Engagement extends Fold<Totals> {
  get name(): string {
    return "engagement";
  }
  get doc(): string {
    return "How much a piece of content was viewed, liked, watched and completed.";
  }

  update(totals: Totals): void {
    if (kind.is("view")) totals.views++;
    else if (kind.is("like")) totals.likes++;
    else if (kind.is("complete")) totals.completes++;
    totals.watch_ms += watched.value;
  }

  evaluate(totals: Totals): bool {
    views.set(totals.views);
    likes.set(totals.likes);
    completes.set(totals.completes);
    watch.set(totals.watch_ms);
    rate.set(totals.views ? <f64>totals.completes / <f64>totals.views : 0);
    return true;
  }
}

exportFold(new Engagement());
