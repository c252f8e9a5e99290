INSERT INTO issue_terms (issue_id, term)
VALUES ($1, $2)
ON CONFLICT (issue_id, term) DO NOTHING
