// Counts the storage calls of this worker and tells them to the page that asks.
import { countCalls } from './storage-calls.js';

const calls = countCalls();
const channel = new BroadcastChannel('bench-calls');
channel.onmessage = ({ data }) => data === 'take' && channel.postMessage(calls.take());
