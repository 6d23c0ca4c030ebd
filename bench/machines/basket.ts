/** The basket as a definition file. */
import { defineSession } from 'troupe'
import { basketMachine } from './basket-machine.ts'

export default defineSession({ name: 'basket', version: 1, machine: basketMachine })
