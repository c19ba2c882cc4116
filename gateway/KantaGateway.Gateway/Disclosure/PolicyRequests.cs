using System.Net;
using System.Text.Json;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Transport;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Disclosure;

/// <summary>What the gateway asks the repository for its own decisions, under a grant of that kind.</summary>
public sealed class PolicyRequests(RepositoryNodes nodes, GrantIssuer grants, GrantAccounts? accounts = null)
{
    private readonly HttpClient _repository = nodes.CreateClient(TimeSpan.FromSeconds(10));

    /// <summary>Posts a question about one person and reads the JSON answer.</summary>
    /// <param name="requester">Whose request it is asked for.</param>
    /// <param name="person">Whose record it is about.</param>
    /// <param name="path">Of the repository.</param>
    /// <param name="content">Null: none.</param>
    /// <param name="read">Makes something of the answer, which does not outlive the call; a JsonException of it counts as no answer.</param>
    /// <param name="cancel">Stops the call.</param>
    /// <exception cref="FaultException">The repository cannot be reached, or does not answer as agreed; the record is not as it was written; or the key service opens nobody new.</exception>
    public async Task<T> AskAsync<T>(Requester requester, Pseudonym person, string path, HttpContent? content, Func<JsonElement, T> read, CancellationToken cancel)
    {
        using var asked = content;
        try
        {
            var response = await SendAsync(anew: false);
            for (var again = 0; again < 2 && response.Headers.Contains(InternalHeaders.GrantSpent); again++)
            {
                response.Dispose();
                response = await SendAsync(anew: true);
            }
            using var answered = response;
            if (response.StatusCode == HttpStatusCode.TooManyRequests)
                throw new FaultException(Fault.BudgetUsedUp(response.Headers.RetryAfter?.Delta));
            if (response.Headers.Contains(InternalHeaders.StoreChanged))
                throw new FaultException(Fault.StoreChanged);
            if (!response.IsSuccessStatusCode)
                throw Unavailable();
            using var document = await JsonDocument.ParseAsync(await response.Content.ReadAsStreamAsync(cancel), cancellationToken: cancel);
            return read(document.RootElement);
        }
        catch (Exception e) when (e is HttpRequestException or JsonException or TaskCanceledException && !cancel.IsCancellationRequested)
        {
            throw Unavailable();
        }

        async Task<HttpResponseMessage> SendAsync(bool anew)
        {
            // Not disposed: that would dispose the content, which may be sent twice.
            var request = new HttpRequestMessage(HttpMethod.Post, path) { Content = content };
            RepositoryNodes.SayWhom(request, person);
            request.Headers.Add(InternalHeaders.Grant, await grants.ForPolicyAsync(requester, person, anew));
            // What the gateway decides by leaves it for nobody. What it decides stands in the log.
            using var underWay = accounts?.Begin(requester, person);
            return await _repository.SendAsync(request, cancel);
        }
    }

    private static FaultException Unavailable() =>
        new(new Fault(FaultKind.StoreUnavailable, "The repository cannot be reached. Nothing was disclosed or stored; try again."));
}
