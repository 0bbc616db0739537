-- The audit log says which settings changed and leaves out their values. Entries of earlier hosts
-- have the values; from now on each stands as "set". Entries with only the names of many settings
-- (`too_large`) have none.
UPDATE audit SET value_before = (
        SELECT json_group_object(member.key, 'set')
        FROM json_each(CASE WHEN json_valid(audit.value_before) THEN audit.value_before ELSE '{}' END) AS member)
    WHERE action IN ('config.put', 'config.delete')
      AND value_before IS NOT NULL AND value_before NOT LIKE '{"too_large":[%';

UPDATE audit SET value_after = (
        SELECT json_group_object(member.key, 'set')
        FROM json_each(CASE WHEN json_valid(audit.value_after) THEN audit.value_after ELSE '{}' END) AS member)
    WHERE action IN ('config.put', 'config.delete')
      AND value_after IS NOT NULL AND value_after NOT LIKE '{"too_large":[%';
