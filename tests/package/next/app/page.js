'use client';
// Rendered on the server too: importing framelock there must be harmless.
import { openDatabase } from 'framelock';
import { useEffect, useState } from 'react';

async function trial() {
  const db = await openDatabase('trial');
  const { path, rows } = await db.appendFrame('page', { n: Int32Array.of(1, 2, 3) });
  const { storage } = await db.status();
  await db.close();
  return { path, rows, storage };
}

export default function Page() {
  const [result, setResult] = useState();
  useEffect(() => {
    trial().then(setResult, (error) => setResult({ error: String(error) }));
  }, []);
  return <output>{result ? JSON.stringify(result) : 'rendered'}</output>;
}
