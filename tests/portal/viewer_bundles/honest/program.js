"use strict";
const escaped = (text) => String(text).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);
let add = null;
let values = [];

const begin = async ({ files, records }) => {
  ({ add } = (await WebAssembly.instantiate(files["sum.wasm"])).instance.exports);
  for (const record of records) {
    if (record.mediaType !== "application/fhir+json") continue;
    const found = JSON.parse(new TextDecoder().decode(record.bytes));
    for (const { resource } of found.entry ?? [{ resource: found }]) {
      if (resource.resourceType !== "Observation" || !resource.valueQuantity) continue;
      const { value, unit } = resource.valueQuantity;
      values.push({ name: resource.code?.text ?? resource.code?.coding?.[0]?.display ?? "?", value, unit });
    }
  }
  const rows = values.map((one) => `<tr><td>${escaped(one.name)}</td><td>${one.value} ${escaped(one.unit ?? "")}</td></tr>`);
  postMessage({ type: "show", at: "values", html: `<table><tbody>${rows.join("")}</tbody></table>` });
  postMessage({ type: "show", at: "count", html: `${records.length} records, ${values.length} values` });
};

addEventListener("message", ({ data }) => {
  if (data.type === "begin") begin(data);
  if (data.type === "event" && data.event === "click" && data.on === "sum") {
    const total = values.reduce((sum, one) => add(sum, one.value), 0);
    postMessage({ type: "show", at: "total", html: `<strong>${total}</strong>` });
  }
});
