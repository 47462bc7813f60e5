import com.google.gson.Gson;
import io.grpc.Status;
import io.spiffe.bundle.jwtbundle.JwtBundleSet;
import io.spiffe.svid.jwtsvid.JwtSvid;
import io.spiffe.svid.x509svid.X509Svid;
import io.spiffe.svid.x509svid.X509SvidValidator;
import io.spiffe.workloadapi.DefaultWorkloadApiClient;
import io.spiffe.workloadapi.DefaultWorkloadApiClient.ClientOptions;
import io.spiffe.workloadapi.Watcher;
import io.spiffe.workloadapi.WorkloadApiClient;
import io.spiffe.workloadapi.X509Context;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A Workload API client on java-spiffe that tells what it sees, one JSON object a line.
 *
 * <pre>
 * Peer watch SOCKET           every X.509 context, until killed
 * Peer fetch SOCKET           one X.509 context
 * Peer jwt SOCKET AUDIENCE    one JWT-SVID for each identity, validated offline
 * Peer calls SOCKET COUNT     COUNT JWT fetches on one connection
 * </pre>
 */
public final class Peer {
  private static final Gson GSON = new Gson();

  private static synchronized void say(Map<String, Object> event) {
    System.out.println(GSON.toJson(event));
  }

  private static Map<String, Object> event(String name) {
    Map<String, Object> event = new LinkedHashMap<>();
    event.put("event", name);
    return event;
  }

  private static void fail(Throwable error) {
    Status status = Status.fromThrowable(error);
    StringBuilder code = new StringBuilder();
    for (String part : status.getCode().name().split("_")) {
      code.append(part.charAt(0)).append(part.substring(1).toLowerCase());
    }
    Map<String, Object> event = event("error");
    event.put("code", code.toString());
    event.put("message", error + " " + status.getDescription());
    say(event);
  }

  private static Map<String, Object> x509(X509Context context) {
    List<Map<String, Object>> svids = new ArrayList<>();
    for (X509Svid svid : context.getX509Svids()) {
      Map<String, Object> one = new LinkedHashMap<>();
      one.put("id", svid.getSpiffeId().toString());
      one.put("hint", svid.getHint());
      one.put("serial", svid.getLeaf().getSerialNumber().toString());
      one.put("notAfter", svid.getLeaf().getNotAfter().getTime() / 1000);
      one.put("verified", verified(svid, context));
      svids.add(one);
    }
    Map<String, Integer> bundles = new LinkedHashMap<>();
    context
        .getX509BundleSet()
        .getBundles()
        .forEach((td, bundle) -> bundles.put("spiffe://" + td, bundle.getX509Authorities().size()));
    Map<String, Object> event = event("x509");
    event.put("svids", svids);
    event.put("bundles", bundles);
    return event;
  }

  private static boolean verified(X509Svid svid, X509Context context) {
    try {
      X509SvidValidator.verifyChain(svid.getChain(), context.getX509BundleSet());
      return true;
    } catch (Exception refused) {
      return false;
    }
  }

  private static void jwt(WorkloadApiClient client, String audience) throws Exception {
    JwtBundleSet bundles = client.fetchJwtBundles();
    List<Map<String, Object>> svids = new ArrayList<>();
    for (JwtSvid svid : client.fetchJwtSvids(audience)) {
      JwtSvid.parseAndValidate(svid.getToken(), bundles, Set.of(audience));
      svids.add(Map.of("id", svid.getSpiffeId().toString(), "verified", true));
    }
    Map<String, Object> event = event("jwt");
    event.put("svids", svids);
    say(event);
  }

  private static void calls(WorkloadApiClient client, int count) throws Exception {
    for (int i = 0; i < count; i++) client.fetchJwtSvid("calls");
    Map<String, Object> event = event("calls");
    event.put("count", count);
    say(event);
  }

  private static void watch(WorkloadApiClient client) throws InterruptedException {
    client.watchX509Context(
        new Watcher<X509Context>() {
          @Override
          public void onUpdate(X509Context context) {
            say(x509(context));
          }

          @Override
          public void onError(Throwable error) {
            fail(error);
          }
        });
    Thread.sleep(Long.MAX_VALUE);
  }

  private static void run(WorkloadApiClient client, String[] args) throws Exception {
    switch (args[0]) {
      case "watch" -> watch(client);
      case "fetch" -> say(x509(client.fetchX509Context()));
      case "jwt" -> jwt(client, args[2]);
      default -> calls(client, Integer.parseInt(args[2]));
    }
  }

  public static void main(String[] args) {
    ClientOptions options = ClientOptions.builder().spiffeSocketPath("unix:" + args[1]).build();
    int code = 0;
    try (WorkloadApiClient client = DefaultWorkloadApiClient.newClient(options)) {
      run(client, args);
    } catch (Exception error) {
      fail(error);
      code = 1;
    }
    System.exit(code);
  }

  private Peer() {}
}
