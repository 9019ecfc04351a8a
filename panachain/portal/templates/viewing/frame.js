// The host of software that travels. It runs the software's program in a worker, which has no document, and shows what
// the worker says: elements and attributes of the lists below, each made anew; whatever else is left out. Nothing of the
// software is ever a script, a link, a frame or a form of this page. Follows docs/spec/viewers.md, section "Running".
"use strict";
(() => {
  const MOST_MARKUP = 4 << 20; // Characters of markup that are shown at once.
  const MOST_NODES = 50000;
  const MOST_DEPTH = 64;
  const MOST_VALUE = 1 << 18; // Characters of an attribute.
  const SIDE = 8192; // Pixels of a canvas's side.
  const HTML = "http://www.w3.org/1999/xhtml";
  const SVG = "http://www.w3.org/2000/svg";
  const ELEMENTS = new Map([
    [HTML, new Set(("abbr article aside b bdi bdo blockquote br button canvas caption cite code col colgroup data dd del details dfn " +
      "div dl dt em fieldset figcaption figure footer h1 h2 h3 h4 h5 h6 header hr i input ins kbd label legend li main mark meter " +
      "nav ol optgroup option output p pre progress q ruby rp rt s samp section select small span strong sub summary sup table " +
      "tbody td textarea tfoot th thead time tr u ul var wbr").split(" "))],
    [SVG, new Set("svg g defs desc title path line rect circle ellipse polyline polygon text tspan linearGradient stop".split(" "))],
  ]);
  const NAMES = new Set(("abbr checked class cols colspan cx cy d datetime dir disabled dx dy fill fill-opacity fill-rule font-size font-weight " +
    "for gradientUnits height high id label lang low max maxlength min multiple name offset open optimum pathLength " +
    "placeholder points preserveAspectRatio r reversed role rows rowspan rx ry scope selected size span start step " +
    "stop-color stop-opacity stroke stroke-dasharray stroke-linecap stroke-linejoin stroke-opacity stroke-width tabindex " +
    "text-anchor title transform type value viewBox width x x1 x2 y y1 y2").split(" "));
  const PAINTED = /^(?:fill|stroke|stop-color)$/;
  const INPUTS = new Set(["text", "search", "number", "range", "checkbox", "radio", "date", "month", "time", "button"]);
  const EVENTS = ["click", "input", "change"];
  const screen = document.querySelector("main");
  const lent = new WeakSet();
  let worker = null;

  const style = new CSSStyleSheet();
  style.replaceSync(
    "body { margin: 0; font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere } main { padding: .75rem }" +
      "table { border-collapse: collapse } th, td { text-align: start; padding: .25rem .5rem; border-bottom: 1px solid GrayText }" +
      "button, input, select { font: inherit; min-height: 1.75rem }",
  );
  document.adoptedStyleSheets = [style];

  const fits = (element, { name, value }) => {
    if (value.length > MOST_VALUE) return false;
    if (/^(?:aria|data)-[a-z-]+$/.test(name)) return true;
    if (!NAMES.has(name)) return false;
    if (PAINTED.test(name)) return /^(?:[#\w%.,() -]*|url\(#[\w-]+\))$/.test(value) && !/^\s*(?!url\(#)url/i.test(value);
    if (name === "tabindex") return value === "0" || value === "-1";
    // A canvas takes its size as memory.
    if (element === "canvas" && (name === "width" || name === "height")) return Number(value) <= SIDE;
    return name !== "type" || element !== "input" || INPUTS.has(value);
  };

  const copy = (from, into, depth, left) => {
    for (const node of from.childNodes) {
      if (depth > MOST_DEPTH || (left.nodes -= 1) < 0) return;
      if (node.nodeType === Node.TEXT_NODE) {
        into.append(node.data);
      } else if (node.nodeType === Node.ELEMENT_NODE && ELEMENTS.get(node.namespaceURI)?.has(node.localName)) {
        const made = document.createElementNS(node.namespaceURI, node.localName);
        for (const one of node.attributes) if (fits(node.localName, one)) made.setAttribute(one.name, one.value);
        if (node.localName === "button") made.type = "button";
        copy(node, made, depth + 1, left);
        into.append(made);
      }
    }
  };

  const show = (markup, at) => {
    const place = at ? screen.querySelector(`#${CSS.escape(at)}`) : screen;
    if (!place || markup.length > MOST_MARKUP) return;
    // A document that was parsed has no window: nothing in it loads or runs. Of it only texts and names are taken.
    const parsed = new DOMParser().parseFromString(markup, "text/html");
    const made = document.createDocumentFragment();
    copy(parsed.body, made, 0, { nodes: MOST_NODES });
    place.replaceChildren(made);
  };

  const lend = (id) => {
    const canvas = screen.querySelector(`canvas#${CSS.escape(id)}`);
    if (!canvas || lent.has(canvas)) return;
    lent.add(canvas);
    const { width, height } = canvas;
    const lentOne = canvas.transferControlToOffscreen();
    worker.postMessage({ type: "canvas", id, canvas: lentOne, width, height }, [lentOne]);
  };

  const hear = ({ data }) => {
    if (data?.type === "show" && typeof data.html === "string") {
      show(data.html, typeof data.at === "string" ? data.at : "");
    } else if (data?.type === "canvas" && typeof data.id === "string") {
      lend(data.id);
    }
  };

  const fail = () => {
    worker?.terminate();
    parent.postMessage("failed", "*");
  };

  const begin = (told) => {
    const files = Object.fromEntries(told.files.map((one) => [one.name, one.bytes]));
    const text = (name) => new TextDecoder().decode(files[name]);
    document.documentElement.lang = told.language;
    if (told.style) {
      const own = new CSSStyleSheet();
      own.replaceSync(text(told.style));
      document.adoptedStyleSheets = [style, own];
    }
    show(text(told.page), "");
    const program = URL.createObjectURL(new Blob([text(told.program)], { type: "text/javascript" }));
    worker = new Worker(program);
    worker.addEventListener("message", hear);
    worker.addEventListener("error", (event) => {
      event.preventDefault();
      fail();
    });
    const { protocol, language, records } = told;
    const all = [...Object.values(files), ...records.map((one) => one.bytes)];
    worker.postMessage({ type: "begin", protocol, language, files, records }, all);
    for (const kind of EVENTS) {
      screen.addEventListener(kind, (event) => {
        const element = event.target.closest?.("[data-on]");
        if (!element) return;
        const { value, checked } = event.target;
        worker.postMessage({ type: "event", event: kind, on: element.dataset.on, value: String(value ?? ""), checked: Boolean(checked) });
      });
    }
    parent.postMessage("began", "*");
  };

  let begun = false;
  addEventListener("message", (event) => {
    // Of another window than the portal's page around it this frame hears nothing.
    if (event.source !== parent) return;
    if (event.data === "ask") {
      parent.postMessage("ready", "*");
    } else if (event.data?.type === "give" && !begun) {
      begun = true;
      try {
        begin(event.data.told);
      } catch {
        fail();
      }
    }
  });
  parent.postMessage("ready", "*");
})();
