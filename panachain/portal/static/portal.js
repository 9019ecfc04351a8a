// What the pages of the portal can't do without a script: take the secret of the address, and show that a form was sent.
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
