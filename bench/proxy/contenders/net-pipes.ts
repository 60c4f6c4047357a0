// What anybody writes first in Node: net.createServer and a pipe each way, in one process.
// The process itself is net-pipes-child.ts.

import { serviceNames, type Contender } from '../model.ts';
import { chooseListeners, whenListening } from './listeners.ts';

export const netPipes: Contender = {
  name: 'net-pipes',
  title: 'Node `net` with pipe',
  serves: serviceNames,
  async start({ children }, services) {
    const listeners = await chooseListeners(services);
    const program = new URL('./net-pipes-child.js', import.meta.url);
    const child = await children.startNode(program, [JSON.stringify(listeners)]);
    return whenListening(child, listeners);
  },
  version: () => Promise.resolve(process.version),
};
