// The frame as Arrow bytes, for contenders that take them. The library that writes them is loaded when it is needed:
// it is no part of what a contender costs to load.
import { toArrow } from '../frame.js';

export async function arrowOf(columns) {
  return toArrow(columns, await import('/node_modules/@uwdata/flechette/src/index.js'));
}
