// The fold of plugins/engagement in JavaScript, written from wit/ alone.

const states = new Map();
const initial = () => ({ views: 0, likes: 0, completes: 0, watch_ms: 0 });

function stateOf(slot) {
  let state = states.get(slot);
  if (state === undefined) states.set(slot, (state = initial()));
  return state;
}

const field = (name, kind) => ({ name, kind, nullable: false });
const column = (tag, val) => ({ values: { tag, val }, valid: [] });

export const about = {
  describe() {
    return {
      name: "engagement_js",
      version: "0.1.0",
      doc: "How much a piece of content was viewed, liked, watched and completed.",
      inputs: [field("kind", "text"), field("watch_ms", "i64")],
      outputs: [
        field("views", "i64"),
        field("likes", "i64"),
        field("completes", "i64"),
        field("watch_ms", "i64"),
        field("completion_rate", "f64"),
      ],
      wantsKeys: false,
      stateVersion: 1,
      settings: [],
    };
  },
  configure(options) {},
};

// Text is ASCII here: a plugin that needs all of Unicode decodes UTF-8 itself, QuickJS has no TextDecoder.
function texts({ ends, bytes }) {
  const values = [];
  let start = 0;
  for (const end of ends) {
    let text = "";
    for (let i = start; i < end; i++) text += String.fromCharCode(bytes[i]);
    values.push(text);
    start = end;
  }
  return values;
}

export const fold = {
  update(input, entries) {
    const kinds = texts(input.columns[0].values.val);
    const watch = input.columns[1].values.val;
    const listed = entries.rows.length > 0;
    for (let i = 0; i < entries.slots.length; i++) {
      const row = listed ? entries.rows[i] : i;
      const state = stateOf(entries.slots[i]);
      if (kinds[row] === "view") state.views++;
      else if (kinds[row] === "like") state.likes++;
      else if (kinds[row] === "complete") state.completes++;
      state.watch_ms += Number(watch[row]);
    }
    return [];
  },

  evaluate(slots, keys) {
    const all = Array.from(slots, stateOf);
    const ints = (name) => column("ints", all.map((state) => state[name]));
    const rates = all.map((state) => (state.views ? state.completes / state.views : 0));
    const columns = [ints("views"), ints("likes"), ints("completes"), ints("watch_ms"), column("floats", rates)];
    return { rows: { count: all.length, columns }, present: [] };
  },

  save(slots) {
    const ends = [];
    const bytes = [];
    for (const slot of slots) {
      const { views, likes, completes, watch_ms } = stateOf(slot);
      const text = JSON.stringify([views, likes, completes, watch_ms]);
      for (let i = 0; i < text.length; i++) bytes.push(text.charCodeAt(i));
      ends.push(bytes.length);
    }
    return { ends, bytes };
  },

  restore(slots, saved) {
    const all = texts(saved);
    for (let i = 0; i < slots.length; i++) {
      const [views, likes, completes, watch_ms] = JSON.parse(all[i]);
      states.set(slots[i], { views, likes, completes, watch_ms });
    }
  },

  release(slots) {
    for (const slot of slots) states.delete(slot);
  },
};
