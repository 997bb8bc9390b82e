// What the subscription `devices` tells, folded into a map from a device's id to the device as it stands.
export const fold = (devices, { reset, changed, removed }) => {
  if (reset) devices.clear()
  for (const device of changed) devices.set(device.id, device)
  for (const id of removed) devices.delete(id)
  return devices
}
