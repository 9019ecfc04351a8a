"""How to talk to proxies: messages and client. What a proxy does is in panachain/service/."""
