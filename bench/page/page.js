"use strict";
/* Sorts, filters and pages the table, keeps its state in the address, and highlights marks. */
document.documentElement.classList.add("scripted");
addEventListener("DOMContentLoaded", () => {
  const table = document.getElementById("results");
  if (!table) return;
  const PAGE = 100;
  const controls = document.getElementById("controls");
  const pages = document.querySelector(".pages");
  const words = controls.dataset;
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  const codes = heads.map((head) => head.dataset.k);
  const numeric = heads.map((head) => head.classList.contains("num"));
  const lines = [...body.rows];
  const column = (code) => codes.indexOf(code);

  // --- cells -------------------------------------------------------------------------------
  const UNITS = { k: 1e3, M: 1e6, G: 1e9, T: 1e12, P: 1e15 };
  const number = (text) => {
    const found = /^[+−-]?[\d,]*\.?\d+/.exec(text);
    if (!found) return NaN;
    const value = Number(found[0].replaceAll(",", "").replace("−", "-"));
    return value * (UNITS[text.slice(found[0].length).trim()[0]] || 1);
  };
  const fold = (text) => text.normalize("NFKC").toLowerCase();
  const rows = lines.map((line, position) => {
    const texts = [...line.cells].map((cell) => cell.textContent);
    return { line, position, texts, folded: fold(texts.join(" ") + " " + (line.dataset.f || "")) };
  });
  const value = (row, at) => (numeric[at] ? number(row.texts[at]) : row.texts[at]);

  // --- state -------------------------------------------------------------------------------
  const FACETS = ["study", "data", "family", "machine"];
  const PRESETS = {
    quality: { sort: null, test: (row) => row.texts[0] !== "–" },
    fastest: { sort: "-speed", test: (row) => value(row, column("speed")) > 0 },
    memory: { sort: null, test: (row) => value(row, column("memory")) <= 8192 },
    shots: { sort: null, test: (row) => Boolean(row.line.dataset.s) },
  };
  const noFacets = Object.fromEntries(FACETS.map((name) => [name, ""]));
  const empty = () => ({ q: "", sort: "", page: 1, preset: "", ...noFacets });
  let state = empty();

  const read = () => {
    const query = new URLSearchParams(location.search);
    const wanted = empty();
    wanted.q = query.get("q") || "";
    const sort = query.get("sort") || "";
    wanted.sort = codes.includes(sort.replace(/^-/, "")) ? sort : "";
    wanted.page = Math.max(1, Math.trunc(Number(query.get("page"))) || 1);
    const preset = query.get("preset") || "";
    wanted.preset = Object.hasOwn(PRESETS, preset) ? preset : "";
    for (const name of FACETS) wanted[name] = query.get(name) || "";
    return wanted;
  };
  const write = () => {
    const query = new URLSearchParams();
    for (const [name, now] of Object.entries(state)) {
      if (now && !(name === "page" && now === 1)) query.set(name, now);
    }
    const text = query.toString();
    const address = (text ? "?" + text : location.pathname.split("/").pop() || "./") + location.hash;
    try {
      history.replaceState(null, "", address);
    } catch (error) { /* too often in a short time: the next change writes it */ }
  };

  // --- what is shown -----------------------------------------------------------------------
  const facet = (row, name) => (name === "family" ? row.line.dataset.f || "" : row.texts[column(name)]);
  const matching = () => {
    const terms = fold(state.q).split(/\s+/).filter(Boolean);
    const preset = PRESETS[state.preset];
    const kept = rows.filter(
      (row) =>
        FACETS.every((name) => !state[name] || facet(row, name) === state[name]) &&
        (!preset || preset.test(row)) &&
        terms.every((term) => row.folded.includes(term)),
    );
    return state.sort ? sorted(kept) : kept;
  };
  const sorted = (kept) => {
    const at = column(state.sort.replace(/^-/, ""));
    const sign = state.sort.startsWith("-") ? -1 : 1;
    const keyed = kept.map((row) => [value(row, at), row]);
    const missing = (key) => key === "–" || key === "" || Number.isNaN(key);
    keyed.sort(([a, one], [b, other]) => {
      if (missing(a) || missing(b)) return missing(a) - missing(b) || one.position - other.position;
      const order = numeric[at] ? a - b : a.localeCompare(b);
      return sign * order || one.position - other.position;
    });
    return keyed.map(([, row]) => row);
  };

  const show = (kept, from, to) => {
    const shown = kept.slice(from, to);
    body.replaceChildren(...shown.map((row) => row.line));
    // A column that no row of this filter fills is hidden.
    codes.forEach((code, at) => {
      const hide = kept.length > 0 && at > 1 && kept.every((row) => row.texts[at] === "–");
      if (heads[at].hidden === hide && !hide) {
        if (shown.every((row) => !row.line.cells[at].hidden)) return;
      }
      heads[at].hidden = hide;
      for (const row of shown) row.line.cells[at].hidden = hide;
    });
  };
  const update = () => {
    const kept = matching();
    const last = Math.max(1, Math.ceil(kept.length / PAGE));
    state.page = Math.min(state.page, last);
    const from = (state.page - 1) * PAGE;
    const to = Math.min(from + PAGE, kept.length);
    show(kept, from, to);
    heads.forEach((head, at) => {
      const own = state.sort.replace(/^-/, "") === codes[at];
      if (own) head.setAttribute("aria-sort", state.sort.startsWith("-") ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    count.textContent = kept.length
      ? words.rows.replace("{from}", from + 1).replace("{to}", to).replace("{count}", kept.length.toLocaleString("en"))
      : words.nothing;
    table.classList.toggle("sorted", Boolean(state.sort));
    previous.hidden = next.hidden = last === 1;
    previous.disabled = state.page <= 1;
    next.disabled = state.page >= last;
    search.value = state.q;
    for (const [name, select] of Object.entries(selects)) select.value = state[name];
    for (const [name, button] of Object.entries(buttons)) {
      button.setAttribute("aria-pressed", String(state.preset === name));
    }
    return kept;
  };
  const change = (changes) => {
    state = { ...state, page: 1, ...changes };
    update();
    write();
  };

  // --- controls ----------------------------------------------------------------------------
  const make = (tag, properties = {}, ...children) => {
    const made = Object.assign(document.createElement(tag), properties);
    made.append(...children);
    return made;
  };
  const search = make("input", { type: "search", autocomplete: "off", spellcheck: false });
  search.addEventListener("input", () => change({ q: search.value }));
  controls.append(make("label", {}, words.search, search));

  const selects = {};
  for (const name of FACETS) {
    const options = [...new Set(rows.map((row) => facet(row, name)))].filter(Boolean).sort();
    if (options.length < 2) continue;
    const select = make("select", {}, make("option", { value: "", textContent: words.all }));
    select.append(...options.map((text) => make("option", { value: text, textContent: text })));
    select.addEventListener("change", () => change({ [name]: select.value }));
    const label = name === "family" ? words.family : heads[column(name)].textContent;
    controls.append(make("label", {}, label, select));
    selects[name] = select;
  }

  const group = make("div", { role: "group", ariaLabel: words.presets });
  const buttons = {};
  const ranking = codes.find((code) => code === "image_auroc" || code === "top1");
  for (const [name, preset] of Object.entries(PRESETS)) {
    const button = make("button", { type: "button", textContent: words[name] });
    button.addEventListener("click", () => {
      const on = state.preset !== name;
      const best = ranking ? "-" + ranking : "";
      change({ preset: on ? name : "", sort: on ? preset.sort || best : "" });
    });
    button.disabled = !rows.some(preset.test);
    group.append(button);
    buttons[name] = button;
  }
  const everything = make("button", { type: "button", textContent: words.everything });
  everything.addEventListener("click", () => change(empty()));
  group.append(everything);
  controls.append(group);

  const previous = make("button", { type: "button", textContent: words.previous });
  const next = make("button", { type: "button", textContent: words.next });
  const count = make("span", { role: "status" });
  previous.addEventListener("click", () => change({ page: state.page - 1 }));
  next.addEventListener("click", () => change({ page: state.page + 1 }));
  pages.append(previous, count, next);

  heads.forEach((head, at) => {
    const button = make("button", { type: "button" }, ...head.childNodes);
    button.addEventListener("click", () => {
      // Numbers start with the highest, words and ranks with the first; a third click unsorts.
      const code = codes[at];
      const first = numeric[at] && code !== "rank" ? "-" + code : code;
      const second = first === code ? "-" + code : code;
      change({ sort: state.sort === first ? second : state.sort === second ? "" : first });
    });
    head.append(button);
  });

  // --- start -------------------------------------------------------------------------------
  controls.hidden = pages.hidden = false;
  state = read();
  update();
  table.classList.add("ready");
  addEventListener("popstate", () => {
    state = read();
    update();
  });
  addEventListener("keydown", (event) => {
    if (event.key === "/" && !event.target.closest("input, select, textarea")) {
      event.preventDefault();
      search.focus();
    }
  });
  addEventListener("beforeprint", () => {
    const kept = matching();
    show(kept, 0, kept.length);
  });
  addEventListener("afterprint", update);

  // --- highlights --------------------------------------------------------------------------
  const marks = new Map();
  for (const mark of document.querySelectorAll("svg [data-r]")) {
    const key = mark.dataset.r;
    marks.set(key, [...(marks.get(key) || []), mark]);
  }
  const line = new Map(rows.map((row) => [row.line.dataset.r, row.line]));
  let lit = [];
  const light = (key) => {
    for (const item of lit) item.classList.remove("on");
    document.querySelectorAll("svg.has-on").forEach((svg) => svg.classList.remove("has-on"));
    lit = key ? [...(marks.get(key) || []), line.get(key)].filter(Boolean) : [];
    for (const item of lit) {
      item.classList.add("on");
      if (item.ownerSVGElement) item.ownerSVGElement.classList.add("has-on");
    }
  };
  const over = (event) => {
    const own = event.target.closest && event.target.closest("[data-r]");
    light(own ? own.dataset.r : "");
  };
  document.addEventListener("pointerover", over);
  document.addEventListener("focusin", over);
  document.addEventListener("click", (event) => {
    const mark = event.target.closest && event.target.closest("svg [data-r]");
    if (!mark) return;
    const row = rows.find((one) => one.line.dataset.r === mark.dataset.r);
    if (row) change({ ...empty(), q: row.texts[1], data: facet(row, "data") });
    table.scrollIntoView({ block: "start" });
  });
});
