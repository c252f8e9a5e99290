-- Loses queued jobs and the issue index; the index can be rebuilt, queued star counts cannot.
DROP TABLE issue_terms;
DROP TABLE jobs;
