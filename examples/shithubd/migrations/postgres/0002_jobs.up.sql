-- The worker's queue, and the issue index that it keeps.
CREATE TABLE jobs (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind TEXT NOT NULL,
    subject BIGINT NOT NULL,
    revision BIGINT NOT NULL DEFAULT 1,
    attempts BIGINT NOT NULL DEFAULT 0,
    not_before BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (kind, subject)
);

CREATE TABLE issue_terms (
    issue_id BIGINT NOT NULL REFERENCES issues (id) ON DELETE CASCADE,
    term TEXT NOT NULL,
    PRIMARY KEY (issue_id, term)
);

CREATE INDEX issue_terms_by_term ON issue_terms (term);
