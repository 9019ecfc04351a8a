// Running: hands software its files and the records that were chosen for it, and nothing else, once, through the one
// frame of the page. Never reads anything back but that it began or failed. Follows docs/spec/viewers.md.
"use strict";
(() => {
  const frame = document.querySelector("iframe[data-run]");
  if (!frame) return;
  const show = (state) => {
    for (const one of document.querySelectorAll("[data-state]")) one.hidden = one.dataset.state !== state;
  };
  const fetched = async (what) => {
    const answer = await fetch(`${frame.dataset.run}/${what}`);
    if (!answer.ok) throw new Error("refused");
    return answer;
  };
  let given = false;

  const give = async () => {
    const told = await (await fetched("told")).json();
    const bytes = await (await fetched("bytes")).arrayBuffer();
    let at = 0;
    const cut = (size) => bytes.slice(at, (at += size));
    for (const one of [...told.files, ...told.records]) one.bytes = cut(one.size);
    const all = [...told.files, ...told.records].map((one) => one.bytes);
    // Its origin is opaque, which no target origin can name. No other document can stand in the frame: this page's policy
    // allows one address there.
    frame.contentWindow.postMessage({ type: "give", told }, "*", all);
  };

  addEventListener("message", (event) => {
    if (event.source !== frame.contentWindow || event.origin !== "null") return;
    if (event.data === "ready" && !given) {
      given = true;
      give().catch(() => show("failed"));
    } else if (event.data === "began") {
      show("");
    } else if (event.data === "failed") {
      show("failed");
    }
  });
  // The frame may have been there before this script: it says again that it is ready when it is asked.
  frame.contentWindow.postMessage("ask", "*");
})();
