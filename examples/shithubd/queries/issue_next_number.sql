-- Takes the row lock of the repository, so that two issues cannot get one number.
UPDATE repos
SET last_issue = last_issue + 1
WHERE id = $1
RETURNING last_issue
