// Stripe's library signs webhooks, which the host verifies.

import Stripe from "stripe";
import { told } from "./clients.mjs";
import { finish, judgeIncoming } from "./webhooks.mjs";

const stripe = new Stripe("sk_test_of_the_judge");

function sign(secret, id, payload, timestamp) {
  return { "stripe-signature": stripe.webhooks.generateTestHeaderString({ payload, secret, timestamp }) };
}

await judgeIncoming("stripe", told.webhooks.stripe, sign, { hasTimestamp: true });
finish(`stripe ${Stripe.PACKAGE_VERSION}`);
