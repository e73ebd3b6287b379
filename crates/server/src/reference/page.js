// Shows /openapi.json. Everything is put in as text, never as markup.
"use strict";

function element(name, text, ...children) {
  const made = document.createElement(name);
  if (text) made.textContent = text;
  made.append(...children);
  return made;
}

function typeOf(schema, names) {
  if (!schema) return "";
  if (schema.$ref) {
    const name = schema.$ref.split("/").pop();
    names.add(name);
    return name;
  }
  const several = schema.oneOf || schema.anyOf;
  if (several) {
    const types = several.map((one) => typeOf(one, names)).filter((type) => type !== "null");
    return types.join(" or ");
  }
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" or ");
  const types = [].concat(schema.type || "anything").filter((type) => type !== "null");
  if (types.includes("array")) return `list of ${typeOf(schema.items, names) || "anything"}`;
  return types.join(" or ");
}

function fields(schema, names) {
  const table = element("table");
  const required = schema.required || [];
  for (const [name, of] of Object.entries(schema.properties || {})) {
    const needed = required.includes(name) ? " (required)" : "";
    table.append(element("tr", "",
      element("td", "", element("code", name)),
      element("td", typeOf(of, names) + needed),
      element("td", of.description || "")));
  }
  return table;
}

function shown(title, schema, all, depth) {
  const names = new Set();
  const part = element("section", "", element("h4", title), fields(schema, names));
  for (const one of schema.oneOf || schema.allOf || []) part.append(fields(one, names));
  if (depth < 4) {
    for (const name of names) {
      part.append(element("details", "", element("summary", name),
        shown("", all[name] || {}, all, depth + 1)));
    }
  }
  return part;
}

async function main() {
  const about = document.getElementById("about");
  const answer = await fetch("/openapi.json");
  if (!answer.ok) {
    about.textContent = `The document cannot be read: status ${answer.status}.`;
    return;
  }
  const api = await answer.json();
  about.textContent = `${api.info.description} Version ${api.info.version}. `;
  about.append(Object.assign(element("a", "The OpenAPI document"), { href: "/openapi.json" }));
  const all = api.components.schemas;
  for (const [path, methods] of Object.entries(api.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const summary = element("summary", "", element("code", method.toUpperCase()), " ",
        element("code", path), ` ${operation.summary || operation.description || ""}`);
      summary.firstChild.className = "method";
      const details = element("details", "", summary);
      const schemaOf = (content) => {
        const schema = ((content || {})["application/json"] || {}).schema;
        return schema && schema.$ref ? all[schema.$ref.split("/").pop()] : schema;
      };
      const body = schemaOf((operation.requestBody || {}).content);
      if (body) details.append(shown("Request", body, all, 0));
      for (const [status, response] of Object.entries(operation.responses || {})) {
        const schema = schemaOf(response.content);
        const title = `${status}: ${response.description || ""}`;
        details.append(schema ? shown(title, schema, all, 0) : element("h4", title));
      }
      document.getElementById("paths").append(details);
    }
  }
}

main().catch((error) => {
  document.getElementById("about").textContent = `The document cannot be shown: ${error}`;
});
