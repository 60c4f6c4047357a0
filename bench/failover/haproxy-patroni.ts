// HAProxy that asks Patroni's REST API which node is the primary, as Patroni's documentation recommends it (the file
// haproxy.cfg of its repository), made faster. Used by patroni.ts.

import { exampleConfig, haproxyContender, type Asking } from './haproxy.ts';

const asking: Asking = {
  name: 'HAProxy, asking Patroni',
  defaults: ['retries 2', 'timeout client 30m', 'timeout connect 4s', 'timeout server 30m'],
  checks: [
    'option httpchk OPTIONS /primary',
    'http-check expect status 200',
    'default-server inter 100ms fall 2 rise 1 on-marked-down shutdown-sessions',
  ],
  askedOf: fleet => Promise.resolve(fleet.nodes.flatMap(({ rest }) => (rest === undefined ? [] : [rest]))),
};

export const haproxyAskingPatroni = haproxyContender(asking);

export const patroniWords: readonly string[] = [
  'HAProxy runs with the configuration that Patroni’s documentation recommends, made faster (`inter 100ms fall 2 rise 1`',
  'in place of `inter 3s fall 3 rise 2`, and no `timeout check` of 5 s: `inter` is that too). It asks no agent but Patroni:',
  '',
  '```',
  ...exampleConfig(asking, [8008, 8009]),
  '```',
];
