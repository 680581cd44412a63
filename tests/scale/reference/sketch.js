// The service as a straightforward Express application has it: the libraries are used as their documentation shows.
import bcrypt from 'bcrypt';
import express from 'express';
import jwt from 'jsonwebtoken';
import pg from 'pg';

import { database, listen, privateKey, publicKey, statements } from './shared.js';

const pool = new pg.Pool(database);
const app = express();
app.use(express.json());

function authenticate(req, res, next) {
  const token = (req.headers.authorization ?? '').split(' ')[1];
  if (!token) return res.status(401).json({ error: 'Access token required' });
  jwt.verify(token, publicKey, { algorithms: ['RS256'] }, (error, user) => {
    if (error) return res.status(403).json({ error: 'Invalid token' });
    req.user = user;
    next();
  });
}

app.post('/api/v1/auth/login', async (req, res) => {
  const { email, password } = req.body;
  const { rows } = await pool.query(statements.user, [email]);
  if (rows.length === 0 || !(await bcrypt.compare(password, rows[0].password_hash))) {
    return res.status(401).json({ error: 'Invalid credentials' });
  }
  const claims = { userId: rows[0].id, email: rows[0].email };
  res.json({ token: jwt.sign(claims, privateKey, { algorithm: 'RS256', expiresIn: '24h' }) });
});

app.get('/api/v1/patients', authenticate, async (req, res) => {
  const { limit = 50, offset = 0 } = req.query;
  const { rows } = await pool.query(statements.list, [limit, offset]);
  res.json(rows);
});

app.get('/api/v1/patients/:id', authenticate, async (req, res) => {
  const { rows } = await pool.query(statements.get, [req.params.id]);
  if (rows.length === 0) return res.status(404).json({ error: 'Patient not found' });
  res.json(rows[0]);
});

app.post('/api/v1/patients', authenticate, async (req, res) => {
  const { first_name, last_name, date_of_birth, email, phone } = req.body;
  const { rows } = await pool.query(statements.create, [first_name, last_name, date_of_birth, email, phone]);
  res.status(201).json(rows[0]);
});

listen(app);
