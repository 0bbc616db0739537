-- A follower of a log goes on in the order in which lines were written, which is that of their
-- rows. An index ends with the row, so this one finds the next lines of a tenant.
CREATE INDEX log_lines_by_writing ON log_lines (tenant);

-- `failures` counts a plugin's own 5xx as well. A damaged block keeps its number: lists leave it out.
UPDATE invocation_blocks
   SET failures = (SELECT COUNT(*)
                     FROM json_each(content)
                    WHERE CASE json_each.type
                              WHEN 'object' THEN json_extract(json_each.value, '$.record.code') IS NOT NULL
                                              OR json_extract(json_each.value, '$.record.status') >= 500
                              ELSE FALSE
                          END)
 WHERE instr(content, '"status":5') > 0 AND json_valid(content);
