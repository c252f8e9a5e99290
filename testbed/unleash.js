// Starts an Unleash server with what its environment says: UNLEASH_PORT, UNLEASH_DB_SOCKET (a folder), and
// INIT_ADMIN_API_TOKENS, which Unleash reads itself. Run in the folder that has unleash-server in its node_modules.
const { start } = require(require.resolve('unleash-server', { paths: [process.cwd()] }));

start({
  db: { host: process.env.UNLEASH_DB_SOCKET, user: 'postgres', database: 'postgres', password: '', ssl: false },
  server: { host: '127.0.0.1', port: Number(process.env.UNLEASH_PORT) },
  versionCheck: { enable: false },
  telemetry: false,
}).catch((error) => {
  console.error(error);
  process.exit(1);
});
