-- Loses every account, repository, star and issue.
DROP TABLE issues;
DROP TABLE stars;
DROP TABLE repos;
DROP TABLE tokens;
DROP TABLE users;
