# openapi-typescript generates types from the admin API's document, and tsc checks them with a program that uses them.
set -eu
node_modules/.bin/openapi-typescript openapi.json --output api.d.ts >&2
node_modules/.bin/tsc --noEmit --strict --skipLibCheck false --target es2022 --module nodenext client.ts
operations=$(node --eval '
  const { paths } = JSON.parse(require("fs").readFileSync("openapi.json", "utf8"));
  const ids = Object.values(paths).flatMap((path) => Object.values(path).map((operation) => operation.operationId));
  const twice = ids.filter((id, index) => !id || ids.indexOf(id) !== index);
  if (twice.length) { console.log(`operation ids that are missing or not unique: ${twice.join(", ")}`); process.exit(1); }
  console.log(ids.filter(Boolean).length);
')
echo "openapi-typescript $(node_modules/.bin/openapi-typescript --version | head -1), tsc $(node_modules/.bin/tsc --version): $operations operations"
