/**
 * The fields of keys and values, with the NUL: HV_KVP_EXCHANGE_MAX_KEY_SIZE and _VALUE_SIZE of
 * include/uapi/linux/hyperv.h. Both wires and the pool files have them.
 */
export const KEY_FIELD_BYTES = 512;
export const VALUE_FIELD_BYTES = 2048;
