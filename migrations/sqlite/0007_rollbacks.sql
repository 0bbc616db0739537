-- The activation that a rollback went back to, by its sequence; NULL for an activation on purpose. The next rollback goes
-- on from there, so that it never leads to a version that was itself rolled back from.
ALTER TABLE activations ADD COLUMN rolled_back_to INTEGER;
