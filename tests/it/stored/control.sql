-- The control database of a data folder as commit 8ac4cda wrote it. Digests and manifests are filled in by the test,
-- since a component's bytes depend on who builds it.
BEGIN TRANSACTION;
CREATE TABLE _sqlx_migrations (
    version BIGINT PRIMARY KEY,
    description TEXT NOT NULL,
    installed_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP,
    success BOOLEAN NOT NULL,
    checksum BLOB NOT NULL,
    execution_time BIGINT NOT NULL
);
INSERT INTO "_sqlx_migrations" VALUES(1,'control plane','2026-11-26 21:27:59',1,X'1593A13244A8BEF2F91080E1894E47163724C6B16567596EB20D7230E53696CE42EC409E153D2C7A448FF3E71BECBCD6',7892004);
INSERT INTO "_sqlx_migrations" VALUES(2,'what is used and kept','2026-11-26 21:27:59',1,X'8781C05717A6864D03234A4A7F43B100336F1C8B3039307082FD3D13475D94742C4218A0BADC20A2C420ED964411B910',7945404);
INSERT INTO "_sqlx_migrations" VALUES(3,'fewer indexes of records','2026-11-26 21:27:59',1,X'9110BB3BF85A7AE08273C0776F5CB8434E203993DD6C3BF8E0A183D8B775E49CB778D16DCA4A416CD4C763D05625A974',2681319);
INSERT INTO "_sqlx_migrations" VALUES(4,'records in blocks','2026-11-26 21:27:59',1,X'7E7C13D24A84C67CD6DF0E4B6874F8EA6F14A29D8A4B8C392B9A9CC0E3DF9EFDEF3CAF42DE27ADABDC7FB6F851EAB879',934202);
CREATE TABLE activations (
    tenant   TEXT    NOT NULL,
    plugin   TEXT    NOT NULL,
    sequence INTEGER NOT NULL,
    digest   TEXT    NOT NULL,
    previous TEXT,
    actor    TEXT    NOT NULL,
    at       INTEGER NOT NULL,
    PRIMARY KEY (tenant, plugin, sequence),
    FOREIGN KEY (tenant, plugin) REFERENCES plugins (tenant, name) ON DELETE CASCADE
) STRICT;
INSERT INTO "activations" VALUES('01a219c2-1d13-7066-85d9-3695704203d6','capabilities',1,'{capabilities 1.0.0}',NULL,'01a219c2-157c-7466-b03c-702ef378ff2c',1795728482297);
INSERT INTO "activations" VALUES('01a219c2-1d13-7066-85d9-3695704203d6','database',1,'{database 2.1.0}',NULL,'01a219c2-157c-7466-b03c-702ef378ff2c',1795728482763);
INSERT INTO "activations" VALUES('01a219c2-1d13-7066-85d9-3695704203d6','capabilities',2,'{capabilities 1.1.0}','{capabilities 1.0.0}','01a219c2-157c-7466-b03c-702ef378ff2c',1795728483543);
CREATE TABLE api_keys (
    id         TEXT    NOT NULL PRIMARY KEY,
    tenant     TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name       TEXT    NOT NULL,
    scopes     TEXT    NOT NULL,
    hash       BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER
) STRICT;
INSERT INTO "api_keys" VALUES('01a219c2-2205-731c-a853-30eb0bb05363','01a219c2-1d13-7066-85d9-3695704203d6','shop','["orders:read"]',X'16C248E3C8FC98FC8B7A1A7E1D43C5F5B51354FFD1F3C2ACC81A53657ED14512',1795728482821,NULL,NULL);
CREATE TABLE audit (
    id      TEXT    NOT NULL PRIMARY KEY,
    tenant  TEXT,
    actor   TEXT    NOT NULL,
    action  TEXT    NOT NULL,
    subject TEXT    NOT NULL,
    at      INTEGER NOT NULL
) STRICT;
INSERT INTO "audit" VALUES('01a219c2-1cfe-7514-9f2f-81bb8b480952',NULL,'01a219c2-157c-7466-b03c-702ef378ff2c','plan.put','large',1795728481534);
INSERT INTO "audit" VALUES('01a219c2-1d15-7587-a069-b9c5a25d782b','01a219c2-1d13-7066-85d9-3695704203d6','01a219c2-157c-7466-b03c-702ef378ff2c','tenant.create','acme',1795728481557);
INSERT INTO "audit" VALUES('01a219c2-1d35-7204-a1e2-b9792449b3df','01a219c2-1d13-7066-85d9-3695704203d6','01a219c2-157c-7466-b03c-702ef378ff2c','secret.put','stripe_key',1795728481589);
INSERT INTO "audit" VALUES('01a219c2-1fde-75d1-ad51-78459e0f3da9','01a219c2-1d13-7066-85d9-3695704203d6','01a219c2-157c-7466-b03c-702ef378ff2c','version.upload','capabilities {capabilities 1.0.0}',1795728482270);
INSERT INTO "audit" VALUES('01a219c2-1ff1-7593-85e3-dfe4784936bd','01a219c2-1d13-7066-85d9-3695704203d6','01a219c2-157c-7466-b03c-702ef378ff2c','grants.put','capabilities',1795728482289);
INSERT INTO "audit" VALUES('01a219c2-1ffa-704b-a354-7bab9537314b','01a219c2-1d13-7066-85d9-3695704203d6','01a219c2-157c-7466-b03c-702ef378ff2c','plugin.activate','capabilities {capabilities 1.0.0}',1795728482297);
INSERT INTO "audit" VALUES('01a219c2-21a6-77e6-a55f-b6cf60c34c65','01a219c2-1d13-7066-85d9-3695704203d6','01a219c2-157c-7466-b03c-702ef378ff2c','version.upload','database {database 2.1.0}',1795728482726);
INSERT INTO "audit" VALUES('01a219c2-21b6-7043-b85e-03b33e7d4751','01a219c2-1d13-7066-85d9-3695704203d6','01a219c2-157c-7466-b03c-702ef378ff2c','grants.put','database',1795728482742);
INSERT INTO "audit" VALUES('01a219c2-21cd-70dc-a366-2e368f743852','01a219c2-1d13-7066-85d9-3695704203d6','01a219c2-157c-7466-b03c-702ef378ff2c','plugin.activate','database {database 2.1.0}',1795728482763);
INSERT INTO "audit" VALUES('01a219c2-21f1-7181-b97b-16ba8839cea6','01a219c2-1d13-7066-85d9-3695704203d6','01a219c2-157c-7466-b03c-702ef378ff2c','config.put','capabilities',1795728482801);
INSERT INTO "audit" VALUES('01a219c2-2208-7667-9f70-0136c4058646','01a219c2-1d13-7066-85d9-3695704203d6','01a219c2-157c-7466-b03c-702ef378ff2c','api-key.create','01a219c2-2205-731c-a853-30eb0bb05363',1795728482824);
INSERT INTO "audit" VALUES('01a219c2-2217-70c0-acbb-1fce972d5750','01a219c2-1d13-7066-85d9-3695704203d6','01a219c2-157c-7466-b03c-702ef378ff2c','token.create','01a219c2-2216-70a5-8481-56e47f2003a6',1795728482839);
INSERT INTO "audit" VALUES('01a219c2-24d1-7763-8ebd-1f0349130e40','01a219c2-1d13-7066-85d9-3695704203d6','01a219c2-157c-7466-b03c-702ef378ff2c','version.upload','capabilities {capabilities 1.1.0}',1795728483537);
INSERT INTO "audit" VALUES('01a219c2-24d7-72f0-8654-3eaf1c4bc99b','01a219c2-1d13-7066-85d9-3695704203d6','01a219c2-157c-7466-b03c-702ef378ff2c','plugin.activate','capabilities {capabilities 1.1.0}',1795728483543);
CREATE TABLE config (
    tenant TEXT NOT NULL,
    plugin TEXT NOT NULL,
    name   TEXT NOT NULL,
    value  TEXT NOT NULL,
    PRIMARY KEY (tenant, plugin, name),
    FOREIGN KEY (tenant, plugin) REFERENCES plugins (tenant, name) ON DELETE CASCADE
) STRICT;
INSERT INTO "config" VALUES('01a219c2-1d13-7066-85d9-3695704203d6','capabilities','greeting','hello');
CREATE TABLE grants (
    tenant TEXT NOT NULL,
    plugin TEXT NOT NULL,
    grants TEXT NOT NULL,
    PRIMARY KEY (tenant, plugin),
    FOREIGN KEY (tenant, plugin) REFERENCES plugins (tenant, name) ON DELETE CASCADE
) STRICT;
INSERT INTO "grants" VALUES('01a219c2-1d13-7066-85d9-3695704203d6','capabilities','{"database":false,"http":["https://api.example.com"],"secrets":{"use":["stripe_key"],"reveal":["stripe_key"]}}');
INSERT INTO "grants" VALUES('01a219c2-1d13-7066-85d9-3695704203d6','database','{"database":true,"http":[],"secrets":{"use":[],"reveal":[]}}');
CREATE TABLE invocation_blocks (
    tenant            TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    plugin            TEXT    NOT NULL,
    version           TEXT    NOT NULL,
    -- The ids of the first and the last record. Blocks may overlap: what began early may have ended late.
    first_id          TEXT    NOT NULL,
    last_id           TEXT    NOT NULL,
    -- When the latest of them began.
    started_last      INTEGER NOT NULL,
    records           INTEGER NOT NULL,
    -- How many of them the host answered with a problem.
    failures          INTEGER NOT NULL,
    -- A JSON array of {"record": …, "consumed": …}. What was not consumed is left out.
    content           TEXT    NOT NULL,
    -- The last ones are enough to tell blocks apart; with the first ones, who looks for a record finds the blocks that may have
    -- it without reading the others.
    PRIMARY KEY (tenant, last_id, first_id)
) STRICT;
INSERT INTO "invocation_blocks" VALUES('01a219c2-1d13-7066-85d9-3695704203d6','capabilities','{capabilities 1.0.0}','01a219c2-2257-71f8-a848-293f61d1659e','01a219c2-2279-73e0-948d-ae60536692d0',1795728482937,3,0,'[{"record":{"id":"01a219c2-2257-71f8-a848-293f61d1659e","trigger":"http","method":"POST","route":"/{*rest}","status":200,"started_at":1795728482903},"consumed":{"queued_us":23,"place":1,"burst_taken":1,"cpu_us":823,"wall_us":910,"memory_bytes":2098064,"host_calls":1,"host_call_bytes":32,"log_lines":1,"log_bytes":32,"request_bytes":40,"response_bytes":8}},{"record":{"id":"01a219c2-2267-71ab-b577-17a7940be59c","trigger":"http","method":"POST","route":"/{*rest}","status":200,"started_at":1795728482919},"consumed":{"queued_us":20,"place":1,"burst_taken":1,"cpu_us":612,"wall_us":678,"memory_bytes":2098064,"host_calls":1,"host_call_bytes":10,"request_bytes":21,"response_bytes":23}},{"record":{"id":"01a219c2-2279-73e0-948d-ae60536692d0","trigger":"http","method":"POST","route":"/{*rest}","status":200,"started_at":1795728482937},"consumed":{"queued_us":165,"place":1,"burst_taken":1,"cpu_us":303,"wall_us":356,"memory_bytes":2098064,"host_calls":1,"host_call_bytes":8,"request_bytes":18,"response_bytes":7}}]');
INSERT INTO "invocation_blocks" VALUES('01a219c2-1d13-7066-85d9-3695704203d6','database','{database 2.1.0}','01a219c2-222b-759c-8e83-456a74fa1eb7','01a219c2-2247-77db-8718-7cd9abd579a8',1795728482887,2,0,'[{"record":{"id":"01a219c2-222b-759c-8e83-456a74fa1eb7","trigger":"http","method":"POST","route":"/execute","status":200,"started_at":1795728482859},"consumed":{"queued_us":18,"place":1,"burst_taken":1,"cpu_us":2108,"wall_us":10495,"memory_bytes":2097936,"host_calls":1,"host_call_bytes":42,"sql_statements":1,"sql_us":9729,"sql_statement_us":9729,"database_bytes":12288,"request_bytes":52,"response_bytes":8}},{"record":{"id":"01a219c2-2247-77db-8718-7cd9abd579a8","trigger":"http","method":"POST","route":"/query","status":200,"started_at":1795728482887},"consumed":{"queued_us":22,"place":1,"burst_taken":1,"cpu_us":728,"wall_us":1332,"memory_bytes":2097936,"host_calls":1,"host_call_bytes":32,"sql_statements":1,"sql_us":732,"sql_statement_us":732,"sql_rows":1,"sql_result_rows":1,"sql_bytes":108,"sql_result_bytes":108,"database_bytes":12288,"request_bytes":42,"response_bytes":71}}]');
CREATE TABLE kept (
    tenant    TEXT    NOT NULL PRIMARY KEY REFERENCES tenants (id) ON DELETE CASCADE,
    records   INTEGER NOT NULL,
    log_bytes INTEGER NOT NULL
) STRICT;
INSERT INTO "kept" VALUES('01a219c2-1d13-7066-85d9-3695704203d6',5,241);
CREATE TABLE log_lines (
    tenant     TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    invocation TEXT    NOT NULL,
    position   INTEGER NOT NULL,
    plugin     TEXT    NOT NULL,
    at         INTEGER NOT NULL,
    level      INTEGER NOT NULL,
    message    TEXT    NOT NULL,
    fields     TEXT    NOT NULL,
    PRIMARY KEY (tenant, invocation, position)
) STRICT;
INSERT INTO "log_lines" VALUES('01a219c2-1d13-7066-85d9-3695704203d6','01a219c2-2257-71f8-a848-293f61d1659e',0,'capabilities',1795728482904,2,'written by an earlier host','[["index","0"]]');
CREATE TABLE plans (
    name   TEXT NOT NULL PRIMARY KEY,
    limits TEXT NOT NULL
) STRICT;
INSERT INTO "plans" VALUES('standard','{}');
INSERT INTO "plans" VALUES('large','{"memory":"128MiB","sql_rows":20000}');
CREATE TABLE plugins (
    tenant     TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name       TEXT    NOT NULL,
    active     TEXT,
    disabled   INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, name),
    FOREIGN KEY (tenant, name, active) REFERENCES versions (tenant, plugin, digest)
) STRICT;
INSERT INTO "plugins" VALUES('01a219c2-1d13-7066-85d9-3695704203d6','capabilities','{capabilities 1.1.0}',0,1795728481641);
INSERT INTO "plugins" VALUES('01a219c2-1d13-7066-85d9-3695704203d6','database','{database 2.1.0}',0,1795728482371);
CREATE TABLE secrets (
    tenant     TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    name       TEXT    NOT NULL,
    sealed     BLOB    NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, name)
) STRICT;
INSERT INTO "secrets" VALUES('01a219c2-1d13-7066-85d9-3695704203d6','stripe_key',X'C73A590E081E57013323CB0669813157413669B1236F2A9C106BA7051ACE466A541E53FDFB24CF9134A40DF58EE48843BB043814251A',1795728481587);
CREATE TABLE tenants (
    id         TEXT    NOT NULL PRIMARY KEY,
    name       TEXT    NOT NULL UNIQUE,
    plan       TEXT    NOT NULL REFERENCES plans (name),
    limits     TEXT    NOT NULL,
    suspended  INTEGER NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
INSERT INTO "tenants" VALUES('01a219c2-1d13-7066-85d9-3695704203d6','acme','large','{"concurrency":16}',0,1795728481555);
CREATE TABLE tokens (
    id         TEXT    NOT NULL PRIMARY KEY,
    tenant     TEXT    REFERENCES tenants (id) ON DELETE CASCADE,
    name       TEXT    NOT NULL,
    role       TEXT    NOT NULL,
    hash       BLOB    NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    revoked_at INTEGER,
    CHECK ((tenant IS NULL) = (role = 'operator'))
) STRICT;
INSERT INTO "tokens" VALUES('01a219c2-157c-7466-b03c-702ef378ff2c',NULL,'first operator','operator',X'7F4BFE4D6C59914971A4BC39F3C3EB2BE6E79BB7E2868679477A44CEC4524EEF',1795728479612,NULL,NULL);
INSERT INTO "tokens" VALUES('01a219c2-2216-70a5-8481-56e47f2003a6','01a219c2-1d13-7066-85d9-3695704203d6','reader','viewer',X'C4BF70270DDAE8499BA584D0A1C8F5127338BD992C6B125AF343539E65BAAA5E',1795728482838,NULL,NULL);
CREATE TABLE usage_hours (
    tenant         TEXT    NOT NULL REFERENCES tenants (id) ON DELETE CASCADE,
    plugin         TEXT    NOT NULL,
    hour           INTEGER NOT NULL,
    invocations    INTEGER NOT NULL,
    failures       INTEGER NOT NULL,
    cpu_us         INTEGER NOT NULL,
    wall_us        INTEGER NOT NULL,
    host_calls     INTEGER NOT NULL,
    sql_statements INTEGER NOT NULL,
    sql_rows       INTEGER NOT NULL,
    cache_calls    INTEGER NOT NULL,
    http_requests  INTEGER NOT NULL,
    http_bytes     INTEGER NOT NULL,
    log_lines      INTEGER NOT NULL,
    request_bytes  INTEGER NOT NULL,
    response_bytes INTEGER NOT NULL, queued_us         INTEGER NOT NULL DEFAULT 0, sql_us            INTEGER NOT NULL DEFAULT 0, sql_bytes         INTEGER NOT NULL DEFAULT 0, http_us           INTEGER NOT NULL DEFAULT 0, log_lines_dropped INTEGER NOT NULL DEFAULT 0, log_bytes         INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant, plugin, hour)
) STRICT;
INSERT INTO "usage_hours" VALUES('01a219c2-1d13-7066-85d9-3695704203d6','capabilities',1795726800000,3,0,1738,1944,3,0,0,0,0,0,1,79,38,208,0,0,0,0,32);
INSERT INTO "usage_hours" VALUES('01a219c2-1d13-7066-85d9-3695704203d6','database',1795726800000,2,0,2836,11827,2,2,1,0,0,0,0,94,79,40,10461,108,0,0,0);
CREATE TABLE versions (
    tenant     TEXT    NOT NULL,
    plugin     TEXT    NOT NULL,
    digest     TEXT    NOT NULL,
    manifest   TEXT    NOT NULL,
    size       INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant, plugin, digest),
    FOREIGN KEY (tenant, plugin) REFERENCES plugins (tenant, name) ON DELETE CASCADE
) STRICT;
INSERT INTO "versions" VALUES('01a219c2-1d13-7066-85d9-3695704203d6','capabilities','{capabilities 1.0.0}','{manifest of capabilities 1.0.0}',200000,1795728481641);
INSERT INTO "versions" VALUES('01a219c2-1d13-7066-85d9-3695704203d6','database','{database 2.1.0}','{manifest of database 2.1.0}',200000,1795728482371);
INSERT INTO "versions" VALUES('01a219c2-1d13-7066-85d9-3695704203d6','capabilities','{capabilities 1.1.0}','{manifest of capabilities 1.1.0}',200000,1795728482973);
CREATE INDEX tenants_by_plan ON tenants (plan);
CREATE INDEX versions_by_age ON versions (tenant, plugin, created_at, digest);
CREATE INDEX versions_by_digest ON versions (digest);
CREATE INDEX api_keys_by_tenant ON api_keys (tenant, id);
CREATE INDEX tokens_by_tenant ON tokens (tenant, id);
CREATE INDEX log_lines_by_time ON log_lines (tenant, at, invocation, position);
CREATE INDEX log_lines_by_plugin ON log_lines (tenant, plugin, at, invocation, position);
CREATE INDEX audit_by_tenant ON audit (tenant, id);
COMMIT;
