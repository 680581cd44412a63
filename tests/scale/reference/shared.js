// What both variants of the reference have in common: keys, database, statements, and how they begin to listen.
import { readFileSync } from 'node:fs';

export const privateKey = readFileSync(process.env.TOKEN_KEY_FILE, 'utf8');
export const publicKey = readFileSync(process.env.TOKEN_PUBLIC_KEY_FILE, 'utf8');

// As many connections as a process of the service may have.
export const database = {
  host: process.env.PGHOST,
  port: Number(process.env.PGPORT),
  database: process.env.PGDATABASE,
  user: process.env.PGUSER,
  password: process.env.PGPASSWORD,
  max: 12,
};

const SHOWN = 'id, first_name, last_name, date_of_birth, email, phone, created_at, updated_at';
// Those of the service, so that the database has the same work.
export const statements = {
  user: 'SELECT id, email, password_hash FROM users WHERE email = $1',
  list: `SELECT ${SHOWN} FROM patients WHERE deleted_at IS NULL ORDER BY created_at DESC, id DESC LIMIT $1 OFFSET $2`,
  get: `SELECT ${SHOWN} FROM patients WHERE id = $1`,
  create: `INSERT INTO patients (first_name, last_name, date_of_birth, email, phone) VALUES ($1, $2, $3, $4, $5)
           RETURNING ${SHOWN}`,
};

export function listen(app) {
  const server = app.listen(0, '127.0.0.1', (error) => {
    if (error) throw error;
    console.log(JSON.stringify({ port: server.address().port }));
  });
  process.on('SIGTERM', () => process.exit(0));
}
