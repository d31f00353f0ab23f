// The open tabs of this page: each takes the lowest free number, as a Web Lock that the browser gives back when the tab
// goes, and a BroadcastChannel carries what one tab asks of all. framelock itself needs none of it.

const LOCK = 'framelock-demo-tab-';
const CHANNEL = 'framelock-demo';

/** Takes the lock of a number until the tab ends; false when another tab has it. */
function take(number) {
  return new Promise((resolve, reject) => {
    const whenAsked = (lock) => {
      resolve(lock !== null);
      return lock && new Promise(() => {});
    };
    navigator.locks.request(LOCK + number, { ifAvailable: true }, whenAsked).catch(reject);
  });
}

/** Joins the open tabs: this tab's number, who is there, and a way to ask all tabs for something. */
export async function joinTabs() {
  let number = 1;
  while (!(await take(number))) number++;
  const channel = new BroadcastChannel(CHANNEL);
  return {
    number,
    /** The numbers of all open tabs, in order. */
    async open() {
      const { held } = await navigator.locks.query();
      const names = held.map(({ name }) => name).filter((name) => name.startsWith(LOCK));
      return names.map((name) => Number(name.slice(LOCK.length))).sort((a, b) => a - b);
    },
    /** Sends a request to the other tabs. */
    ask: (request) => channel.postMessage(request),
    onAsked: (listener) => channel.addEventListener('message', ({ data }) => listener(data)),
  };
}
