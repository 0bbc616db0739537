// Uses the types that are generated from the admin API's document.

import type { operations, paths } from "./api.js";

type Tenants = paths["/api/v1/tenants"]["get"]["responses"][200]["content"]["application/json"];

export function names(tenants: Tenants): string[] {
  return tenants.items.map((tenant) => tenant.name);
}

export type Operation = keyof operations;
