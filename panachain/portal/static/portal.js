// What the pages of the portal can't do without a script: take the secret of the address, show that a form was sent, and
// go when the portal locks by itself.
// Never keeps anything, and never asks another host. Everything else works without it.
"use strict";

// The secret stands behind the #, which a browser sends nobody. It is taken out of the address before it is used, so that
// neither the history nor a bookmark keeps it.
const entering = document.querySelector("[data-enter]");
if (entering && location.hash.length > 1) {
  const secret = decodeURIComponent(location.hash.slice(1));
  history.replaceState(null, "", location.pathname);
  entering.querySelector("[data-entering]").hidden = false;
  fetch("/enter", { method: "POST", body: new URLSearchParams({ secret }), redirect: "follow" })
    .then((answer) => {
      if (!answer.ok) throw new Error("refused");
      location.replace("/");
    })
    .catch(() => {
      entering.querySelector("[data-entering]").hidden = true;
      entering.querySelector("[data-refused]").hidden = false;
    });
}

// A form that was sent isn't sent once more by an impatient finger.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (event.defaultPrevented || form.method !== "post") return;
  if (form.dataset.sent) {
    event.preventDefault();
    return;
  }
  form.dataset.sent = "yes";
  form.setAttribute("aria-busy", "true");
});

// A page that the browser shows again from its memory takes forms anew.
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("form[data-sent]")) {
    delete form.dataset.sent;
    form.removeAttribute("aria-busy");
  }
});

// What a page shows doesn't outlast the lock. The server locks after some seconds without use, counted from the last page
// that any tab loaded: so each tab tells the others that it was loaded.
const locksAfter = 1000 * Number(document.body.dataset.locksAfter || 0);
const LOCKED = "locked";
if (document.body.dataset.locked !== undefined) {
  // Whoever locks it in one tab leaves nothing on the screen in the others.
  new BroadcastChannel("used").postMessage(LOCKED);
} else if (locksAfter > 0) {
  const tabs = new BroadcastChannel("used");
  let used = Date.now();
  const go = () => {
    document.body.replaceChildren();
    location.replace("/unlock");
  };
  tabs.addEventListener("message", ({ data }) => {
    used = Date.now();
    if (data === LOCKED) go();
  });
  tabs.postMessage("");
  const look = () => {
    // Work counts as use until its end, and so do files that are sent.
    if (document.querySelector("[aria-busy=true], [data-progress]:not([hidden])")) {
      used = Date.now();
      tabs.postMessage("");
    } else if (Date.now() - used > locksAfter) {
      go();
    }
  };
  setInterval(look, 1000);
  // After a sleep of the machine the page goes before somebody reads it.
  document.addEventListener("visibilitychange", look);
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });
}
