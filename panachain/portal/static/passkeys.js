// Passkeys: has the browser make one, or ask one for its answer (WebAuthn level 3, section 10.1.4, PRF), and sends that to
// the portal alone, which opens a lock with it. Nothing is kept, and nothing is asked of another host.
"use strict";
(() => {
  if (!window.PublicKeyCredential) return;
  const bytes = (text) => Uint8Array.from(text.match(/../g) || [], (two) => parseInt(two, 16));
  const hex = (buffer) => [...new Uint8Array(buffer)].map((one) => one.toString(16).padStart(2, "0")).join("");
  // As `evalByCredential` names credentials: base64url without padding.
  const named = (id) =>
    btoa(String.fromCharCode(...id)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
  const challenge = () => crypto.getRandomValues(new Uint8Array(32));
  const described = (id) => ({ type: "public-key", id });

  const answered = (credential) => {
    const results = (credential.getClientExtensionResults().prf || {}).results;
    return results && results.first && results.first.byteLength === 32 ? hex(results.first) : "";
  };

  const ask = async (host, known) => {
    const credential = await navigator.credentials.get({
      publicKey: {
        rpId: host,
        challenge: challenge(),
        allowCredentials: known.map((one) => described(one.id)),
        userVerification: "required",
        extensions: { prf: { evalByCredential: Object.fromEntries(known.map((one) => [named(one.id), { first: one.salt }])) } },
      },
    });
    const answer = answered(credential);
    if (!answer) throw new TypeError("no answer");
    return { id: hex(credential.rawId), answer };
  };

  const make = async (data) => {
    const salt = bytes(data.salt);
    const credential = await navigator.credentials.create({
      publicKey: {
        rp: { id: data.host, name: "PanaChain" },
        user: { id: bytes(data.user), name: data.name, displayName: data.name },
        challenge: challenge(),
        pubKeyCredParams: [-7, -8, -257].map((alg) => ({ type: "public-key", alg })),
        excludeCredentials: data.known.split(" ").filter(Boolean).map((one) => described(bytes(one))),
        authenticatorSelection: { residentKey: "discouraged", userVerification: "required" },
        extensions: { prf: { eval: { first: salt } } },
      },
    });
    const enabled = credential.getClientExtensionResults().prf;
    if (!enabled || enabled.enabled === false) throw new TypeError("no function");
    const one = { id: new Uint8Array(credential.rawId), salt };
    // Some answer as they are made, others only when they are asked; and each is asked once more.
    const first = answered(credential) || (await ask(data.host, [one])).answer;
    return { credential: hex(credential.rawId), first, second: (await ask(data.host, [one])).answer };
  };

  const does = {
    make: async (form) => make(form.dataset),
    ask: async (form) => {
      const known = form.dataset.known.split(" ").map((pair) => {
        const [id, salt] = pair.split(":");
        return { id: bytes(id), salt: bytes(salt) };
      });
      const { id, answer } = await ask(form.dataset.host, known);
      return { credential: id, answer };
    },
  };

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    form.hidden = false;
    for (const told of form.querySelectorAll("[data-scriptless]")) told.hidden = true;
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      if (form.dataset.asking) return;
      form.dataset.asking = "yes";
      for (const told of form.querySelectorAll("[data-failed]")) told.hidden = true;
      try {
        const found = await does[form.dataset.passkey](form);
        for (const [name, value] of Object.entries(found)) form.elements.namedItem(name).value = value;
        // Without another event: it is complete now.
        HTMLFormElement.prototype.submit.call(form);
        form.reset();
      } catch (error) {
        const why = error instanceof TypeError ? "unable" : "refused";
        form.querySelector(`[data-failed=${why}]`).hidden = false;
      } finally {
        delete form.dataset.asking;
      }
    });
  }
})();
