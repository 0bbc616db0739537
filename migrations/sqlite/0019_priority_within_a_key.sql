-- Of the blocked jobs of a concurrency key, the next one is that with the lowest priority, and of an
-- ordered key the one that was added first. A node of the release before finds its next job by the
-- first four columns, and sorts.
DROP INDEX jobs_blocked;
CREATE INDEX jobs_next_of_key ON jobs
    (tenant, plugin, name, concurrency_key, (CASE concurrency_ordered WHEN 1 THEN 0 ELSE priority END))
    WHERE state = 'blocked';
