/**
 * The file copy service ("guest service interface"): the host sends one file at a time, in
 * fragments, and awaits an answer to each message. Sources: include/uapi/linux/hyperv.h (struct
 * hv_start_fcopy, hv_do_fcopy), drivers/hv/hv_fcopy.c.
 *
 *    0  4    operation    0 start, 1 data, 2 complete, 3 cancel
 *    4  32   service ids  unused
 *
 * Start                                      Data
 *   36  520  file name, UTF-16                 36  4     padding
 *  556  520  path of its folder, UTF-16        40  8     offset in the file, bytes
 * 1076  4    flags: 1 overwrite,               48  4     size of the fragment, bytes
 *            2 create the path                 52  6144  the fragment
 * 1080  8    size of the file, bytes
 *
 * Complete and cancel have no more. An answer is the request with a status in its IC header.
 */

import { SERVICE_CLASSES } from '../ic/classes.ts';
import { version } from '../ic/version.ts';
import { text, utf16 } from '../layout/index.ts';
import type { ServiceProtocol } from '../service-protocol.ts';
import { fcopyHvUtils } from './hvutils.ts';
import {
  decodeFcopy,
  encodeFcopy,
  type FcopyReply,
  type FcopyRequest,
  fcopyPart,
  fcopyStart,
  NAME_FIELD_BYTES,
} from './messages.ts';

const start = fcopyStart(text(utf16, NAME_FIELD_BYTES), text(utf16, NAME_FIELD_BYTES));

export const fcopyProtocol: ServiceProtocol<FcopyRequest, FcopyReply> = {
  name: 'fcopy',
  classId: SERVICE_CLASSES.fcopy,
  messageType: 7,
  frameworkVersions: [version(3, 0)],
  messageVersions: [version(1, 1)],
  optionalVersions: [],
  ic: {
    part: fcopyPart,
    decodeRequest: (body) => decodeFcopy(body, start),
    // Everything is in the header's status
    encodeReply: () => {},
    encodeRequest: (request) => encodeFcopy(request, start),
    decodeReply: (_body, _version, _request, status) => ({ status }),
  },
  hvUtils: fcopyHvUtils,
};
