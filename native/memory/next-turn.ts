// Taken now, so that a test's mocked timers do not stop the channels.
export const nextTurn = setImmediate;
