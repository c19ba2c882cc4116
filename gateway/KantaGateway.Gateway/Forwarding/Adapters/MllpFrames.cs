using System.Buffers;
using KantaGateway.Gateway.Disclosure;

namespace KantaGateway.Gateway.Forwarding.Adapters;

/// <summary>What has been found at the beginning of what has come.</summary>
enum MllpFound { Message, Incomplete, Foreign, TooLong }

/// <summary>
/// Frames of the Minimal Lower Layer Protocol (HL7 v2 transport, MLLP release 1): <c>0x0B</c>, the content, <c>0x1C 0x0D</c>. Pure.
/// </summary>
static class MllpFrames
{
    public const byte Start = 0x0B, End = 0x1C, Return = 0x0D;

    private static readonly byte[] Close = [End, Return];

    /// <summary>Takes the first message off.</summary>
    /// <param name="received">What has come and not been taken; what is taken is cut off. <see cref="MllpFound.Foreign"/>: it does not begin as a frame does.</param>
    /// <param name="searched">Bytes of it in which a call before has found no end: a message that comes in many parts is looked through once.</param>
    public static MllpFound Take(ref ReadOnlySequence<byte> received, long searched, out ReadOnlySequence<byte> message)
    {
        message = default;
        if (received.IsEmpty)
            return MllpFound.Incomplete;
        if (received.FirstSpan[0] != Start)
            return MllpFound.Foreign;
        var reader = new SequenceReader<byte>(received);
        // The last of them may be the first of the two that end it.
        reader.Advance(Math.Max(1, searched - 1));
        // A message is text, which has no 0x1C; one inside is found out by whoever reads it.
        if (!reader.TryReadTo(out ReadOnlySequence<byte> _, Close.AsSpan(), advancePastDelimiter: true))
            return received.Length > InteractionReader.MaxBody + 3 ? MllpFound.TooLong : MllpFound.Incomplete;
        message = received.Slice(1, reader.Consumed - 1 - Close.Length);
        if (message.Length > InteractionReader.MaxBody)
            return MllpFound.TooLong;
        received = received.Slice(reader.Position);
        return MllpFound.Message;
    }

    public static void Write(IBufferWriter<byte> to, ReadOnlySpan<byte> message)
    {
        to.Write([Start]);
        to.Write(message);
        to.Write(Close);
    }
}
