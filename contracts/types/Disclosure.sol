// SPDX-License-Identifier: GPL-3.0-or-later
pragma solidity ^0.8.28;

/// @notice What an open policy tells everybody, in one word; zero in a sealed policy. From the lowest bit on: HL7
/// PurposeOfUse codes (32 bits), categories (32), DUO codes (32), and the study's address (160), zero for none.
/// @dev The registry passes it on and never reads it. docs/spec/formats.md numbers the bits.
type Disclosure is uint256;
