// tslab sends on ZeroMQ without waiting: here sends are queued. And it receives while it binds, which ZeroMQ refuses.
"use strict";
const queues = new Map(); // zeromq's sockets are not extensible
async function pump(socket, queue) {
  const turn = ++queue.turn;
  queue.busy = true;
  while (queue.messages.length && turn === queue.turn) {
    const [message] = queue.messages;
    try {
      const sent = socket.sendNow(message);
      queue.messages.shift();
      await sent;
    } catch (error) {
      // another send is under way, of the turn before; any other failure is a peer that left
      if (error?.code === "EBUSY") {
        if (queue.messages[0] !== message) queue.messages.unshift(message);
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    }
  }
  if (turn === queue.turn) {
    queue.busy = false;
    queue.closes?.();
  }
}
const resume = () => {
  for (const [socket, queue] of queues) pump(socket, queue);
};
const binding = new Map();
/** Sockets that go on receiving once they are bound: a message that comes before that would end who receives. */
const patient = (Base) =>
  class extends Base {
    async bind(address) {
      const bound = super.bind(address);
      binding.set(this, bound);
      try {
        await bound;
      } finally {
        binding.delete(this);
      }
    }
    receive() {
      const bound = binding.get(this);
      const receive = () => super.receive();
      return bound ? bound.then(receive, receive) : receive();
    }
  };
const queued = (Base, options) =>
  class extends Base {
    constructor(o) {
      super({ ...o, ...options });
      queues.set(this, { messages: [], busy: false, turn: 0 });
    }
    sendNow(parts) {
      return super.send(parts);
    }
    send(parts) {
      const queue = queues.get(this);
      queue.messages.push(parts);
      if (!queue.busy) pump(this, queue); // at once: what comes next may compute for long
    }
    close() {
      const queue = queues.get(this);
      queue.closes = () => super.close();
      if (!queue.busy) queue.closes();
    }
  };
/**
 * Gives tslab sockets that queue. An interrupt may end the code that waits for a send: `resume` begins anew with what is
 * left.
 */
function repair(fromTslab) {
  const file = fromTslab.resolve("zeromq");
  const zmq = require(file);
  require.cache[file].exports = {
    ...zmq,
    __esModule: true,
    Publisher: queued(zmq.Publisher, { sendHighWaterMark: 0 }),
    Router: queued(patient(zmq.Router), {}),
    Reply: patient(zmq.Reply),
  };
  return { resume };
}

module.exports = { repair };
