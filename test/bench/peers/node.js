// node.js - the handler for AWS's client of the Runtime API for Node.js, aws-lambda-ric.
//
// SPDX-License-Identifier: MIT-0
exports.handler = async (event) => event;
