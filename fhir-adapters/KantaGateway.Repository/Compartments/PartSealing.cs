using System.Buffers;
using System.Security.Cryptography;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Search;
using KantaGateway.Repository.Interactions;
using KantaGateway.Repository.Storage;

namespace KantaGateway.Repository.Compartments;

/// <summary>Seals the parts of a content anew under another data key.</summary>
static class PartSealing
{
    /// <summary>Stores the same content in parts of another name, sealed under another key; those that there are stay. Until a row has them they are nothing.</summary>
    /// <param name="copy">UUID version 7 of now: names the new parts.</param>
    /// <exception cref="TamperedException">A part is missing, or is not what was stored.</exception>
    public static async Task CopyAsync(ICompartmentStore store, Pseudonym compartment, AesGcm from, AesGcm to, StoredContent content, Guid copy, CancellationToken cancel)
    {
        var (stored, plain) = (ArrayPool<byte>.Shared.Rent(Contents.PartSize + RowSeal.Overhead), ArrayPool<byte>.Shared.Rent(Contents.PartSize));
        try
        {
            var at = 0L;
            for (var number = 0; at < content.Size || number == 0; number++)
            {
                var isLast = content.Size - at <= Contents.PartSize;
                var length = await store.ReadPartAsync(compartment, content.Id, number, stored, cancel).ConfigureAwait(false);
                if (length < 0)
                    throw new TamperedException("A part of a content is missing.");
                var read = RowSeal.OpenPart(from, compartment, content.Id, number, isLast, stored.AsSpan(0, length), plain);
                if (read != Math.Min(Contents.PartSize, content.Size - at))
                    throw new TamperedException("A content has another size than was stored.");
                var written = RowSeal.SealPart(to, compartment, copy, number, isLast, plain.AsSpan(0, read), stored);
                await store.StorePartAsync(compartment, copy, number, stored.AsMemory(0, written), cancel).ConfigureAwait(false);
                at += read;
            }
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(stored);
            ArrayPool<byte>.Shared.Return(plain, clearArray: true);
        }
    }
}
