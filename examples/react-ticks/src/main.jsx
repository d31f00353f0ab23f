import { openDatabase } from 'framelock';
import React from 'react';
import { createRoot } from 'react-dom/client';
import { Ticks } from './Ticks.jsx';

const root = createRoot(document.getElementById('app'));
openDatabase('ticks').then(
  (db) => root.render(<Ticks db={db} />),
  (error) => root.render(<p role="alert">{`${error.code}: ${error.message}`}</p>),
);
