{{/* Names. The longest is a CronJob's, of which Kubernetes takes 52 characters. */}}
{{- define "opstrail.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 38 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 38 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 38 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "opstrail.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag | default $.Chart.AppVersion }}{{- end -}}
{{- end -}}
{{- end -}}

{{/* Takes (dict "root" $ "role" "split"). The selector never changes; labels may. */}}
{{- define "opstrail.selector" -}}
app.kubernetes.io/name: {{ .root.Chart.Name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .role }}
{{- end -}}

{{- define "opstrail.labels" -}}
{{ include "opstrail.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: opstrail
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version }}
{{- end -}}

{{/* Before every topic and group name; before every slot. */}}
{{- define "opstrail.prefixed" -}}
{{- if .root.Values.kafka.topicPrefix -}}{{ .root.Values.kafka.topicPrefix }}.{{- end -}}{{ .name }}
{{- end -}}

{{- define "opstrail.slotNamespace" -}}
{{- .Values.slotNamespace | default .Values.kafka.topicPrefix | default "opstrail" -}}
{{- end -}}

{{/* What no schema can compare. */}}
{{- define "opstrail.checks" -}}
{{- $v := .Values -}}
{{- if le (int $v.terminationGracePeriodSeconds) (add (int $v.drainSeconds) 30) -}}
{{- fail (printf "terminationGracePeriodSeconds: write more than drainSeconds and a transaction's 30 s together, %d" (add (int $v.drainSeconds) 30)) -}}
{{- end -}}
{{- if $v.keda.enabled -}}
{{- range $role := list "split" "enrich" "store" -}}
{{- $partitions := int (ternary $v.kafka.filesPartitions $v.kafka.eventsPartitions (eq $role "split")) -}}
{{- $most := min (get $v.keda.maxReplicas $role) $partitions -}}
{{- if gt (int (get $v.keda.minReplicas $role)) (int $most) -}}
{{- fail (printf "keda.minReplicas.%s: write no more than keda.maxReplicas.%s and the partitions, %d" $role $role $most) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Annotations of a pod: its role's before those of all. */}}
{{- define "opstrail.podAnnotations" -}}
{{- $values := include "opstrail.roleValues" . | fromYaml -}}
{{- with merge (dict) $values.podAnnotations .root.Values.podAnnotations -}}
annotations: {{- toYaml . | nindent 2 }}
{{- end -}}
{{- end -}}

{{/* What each role speaks to: "kafka registry opensearch aws". */}}
{{- define "opstrail.needs" -}}
{{- $needs := dict
  "discover" "kafka registry aws" "split" "kafka registry aws" "enrich" "kafka registry"
  "store" "kafka registry opensearch" "history" "opensearch"
  "schemas" "registry" "topics" "kafka" "store-setup" "opensearch"
  "reread" "kafka registry opensearch" "retention" "opensearch" "accounts-sync" "kafka registry aws" -}}
{{- get $needs .role -}}
{{- end -}}

{{/* The user that a role is in Kafka: `reread` is store, the sync of accounts is imports. */}}
{{- define "opstrail.kafkaRole" -}}
{{- get (dict "reread" "store" "accounts-sync" "imports") .role | default .role -}}
{{- end -}}

{{/* The values of a role: services at the top, the others under jobs. */}}
{{- define "opstrail.roleValues" -}}
{{- $jobs := dict "schemas" "setup" "topics" "setup" "store-setup" "setup" "reread" "reread" "retention" "retention" "accounts-sync" "accountsSync" -}}
{{- toYaml (get .root.Values (get $jobs .role | default .role)) -}}
{{- end -}}

{{- define "opstrail.serviceAccount" -}}
{{- $values := include "opstrail.roleValues" . | fromYaml -}}
{{- if $values.serviceAccount.name -}}
{{- $values.serviceAccount.name -}}
{{- else -}}
{{- $kind := ternary "setup" .role (has .role (list "schemas" "topics" "store-setup")) -}}
{{- printf "%s-%s" (include "opstrail.fullname" .root) $kind -}}
{{- end -}}
{{- end -}}

{{/* The Secret of a role's Kafka user, and the keys in it. */}}
{{- define "opstrail.kafkaSecret" -}}
{{- $values := include "opstrail.roleValues" . | fromYaml -}}
{{- if and .root.Values.strimzi.users.enabled (ne .role "topics") -}}
{{- printf "%s-%s" (include "opstrail.fullname" .root) (include "opstrail.kafkaRole" .) -}}
{{- else -}}
{{- $values.existingSecret | default .root.Values.secrets.existingSecret -}}
{{- end -}}
{{- end -}}

{{- define "opstrail.usesScram" -}}
{{- if has .Values.kafka.saslMechanism (list "SCRAM-SHA-512" "SCRAM-SHA-256" "PLAIN") -}}yes{{- end -}}
{{- end -}}

{{/* Everything that is mounted: the sources of one projected volume, as a list. */}}
{{- define "opstrail.sources" -}}
{{- $root := .root -}}
{{- $v := $root.Values -}}
{{- $needs := splitList " " (include "opstrail.needs" .) -}}
{{- $values := include "opstrail.roleValues" . | fromYaml -}}
{{- $secret := $values.existingSecret | default $v.secrets.existingSecret -}}
{{- $items := list -}}
{{- if has "kafka" $needs }}
{{- $kafkaSecret := include "opstrail.kafkaSecret" . }}
{{- $ofStrimzi := and $v.strimzi.users.enabled (ne .role "topics") }}
{{- if or (include "opstrail.usesScram" $root) $v.kafka.clientCertificate }}
- secret:
    name: {{ $kafkaSecret }}
    items:
    {{- if include "opstrail.usesScram" $root }}
    {{- if not $ofStrimzi }}
      - {key: kafka-username, path: secrets/OPSTRAIL_KAFKA__USERNAME}
    {{- end }}
      - {key: {{ ternary "password" "kafka-password" $ofStrimzi }}, path: secrets/OPSTRAIL_KAFKA__PASSWORD}
    {{- end }}
    {{- if $v.kafka.clientCertificate }}
      - {key: {{ ternary "user.crt" "kafka.crt" $ofStrimzi }}, path: tls/kafka.crt}
      - {key: {{ ternary "user.key" "kafka.key" $ofStrimzi }}, path: tls/kafka.key}
    {{- end }}
{{- end }}
{{- include "opstrail.ca" (dict "ca" $v.kafka.ca "path" "tls/kafka-ca.crt") }}
{{- end }}
{{- if has "registry" $needs }}
{{- if $v.registry.basicAuth }}
- secret:
    name: {{ $secret }}
    items:
      - {key: registry-username, path: secrets/OPSTRAIL_REGISTRY__USERNAME}
      - {key: registry-password, path: secrets/OPSTRAIL_REGISTRY__PASSWORD}
{{- end }}
{{- if $v.registry.clientCertificate }}
- secret:
    name: {{ $secret }}
    items:
      - {key: registry.crt, path: tls/registry.crt}
      - {key: registry.key, path: tls/registry.key}
{{- end }}
{{- include "opstrail.ca" (dict "ca" $v.registry.ca "path" "tls/registry-ca.crt") }}
{{- end }}
{{- if has "opensearch" $needs }}
{{- if eq $v.opensearch.auth "basic" }}
- secret:
    name: {{ $secret }}
    items:
      - {key: opensearch-username, path: secrets/OPSTRAIL_OPENSEARCH__USERNAME}
      - {key: opensearch-password, path: secrets/OPSTRAIL_OPENSEARCH__PASSWORD}
{{- end }}
{{- if eq $v.opensearch.auth "certificate" }}
- secret:
    name: {{ $secret }}
    items:
      - {key: opensearch.crt, path: tls/opensearch.crt}
      - {key: opensearch.key, path: tls/opensearch.key}
{{- end }}
{{- include "opstrail.ca" (dict "ca" $v.opensearch.ca "path" "tls/opensearch-ca.crt") }}
{{- end }}
{{- if eq .role "history" }}
- secret:
    name: {{ $secret }}
    items:
      - {key: history-access.yaml, path: access/history.yaml}
    {{- if gt (int $v.history.replicas) 1 }}
      - {key: history-cursor-key, path: secrets/OPSTRAIL_HISTORY__CURSOR_KEY}
    {{- end }}
{{- if $v.history.tlsSecret }}
- secret:
    name: {{ $v.history.tlsSecret }}
    items:
      - {key: tls.crt, path: tls/history.crt}
      - {key: tls.key, path: tls/history.key}
{{- end }}
{{- end }}
{{- end -}}

{{- define "opstrail.ca" -}}
{{- if .ca.secret }}
- secret:
    name: {{ .ca.secret }}
    items:
      - {key: {{ .ca.key }}, path: {{ .path }}}
{{- else if .ca.configMap }}
- configMap:
    name: {{ .ca.configMap }}
    items:
      - {key: {{ .ca.key }}, path: {{ .path }}}
{{- end }}
{{- end -}}

{{- define "opstrail.hasCa" -}}
{{- if or .secret .configMap -}}yes{{- end -}}
{{- end -}}

{{/* The environment of a role, as a list. Every OPSTRAIL_ name is a setting. */}}
{{- define "opstrail.env" -}}
{{- $root := .root -}}
{{- $v := $root.Values -}}
{{- $needs := splitList " " (include "opstrail.needs" .) -}}
{{- $values := include "opstrail.roleValues" . | fromYaml -}}
{{- $job := has .role (list "schemas" "topics" "store-setup" "reread" "retention" "accounts-sync") -}}
{{- $env := dict "OPSTRAIL_TELEMETRY__LOG_FORMAT" "json" "OPSTRAIL_TELEMETRY__LOG_LEVEL" $v.logLevel -}}
{{- if contains "secrets/" (include "opstrail.sources" .) }}
{{- $_ := set $env "OPSTRAIL_SECRETS_DIR" "/etc/opstrail/secrets" }}
{{- end }}
{{- if has "kafka" $needs }}
{{- $_ := set $env "OPSTRAIL_KAFKA__BOOTSTRAP_SERVERS" $v.kafka.bootstrapServers }}
{{- $_ := set $env "OPSTRAIL_KAFKA__SECURITY_PROTOCOL" $v.kafka.securityProtocol }}
{{- $_ := set $env "OPSTRAIL_KAFKA__TOPIC_PREFIX" $v.kafka.topicPrefix }}
{{- $_ := set $env "OPSTRAIL_KAFKA__FILES_PARTITIONS" (toString $v.kafka.filesPartitions) }}
{{- $_ := set $env "OPSTRAIL_KAFKA__EVENTS_PARTITIONS" (toString $v.kafka.eventsPartitions) }}
{{- $_ := set $env "OPSTRAIL_KAFKA__REPLICATION_FACTOR" (toString $v.kafka.replicationFactor) }}
{{- $_ := set $env "OPSTRAIL_SLOT__NAMESPACE" (include "opstrail.slotNamespace" $root) }}
{{- if $job }}{{- $_ := set $env "OPSTRAIL_SLOT__NUMBER" "0" }}{{- end }}
{{- with $v.kafka.saslMechanism }}{{- $_ := set $env "OPSTRAIL_KAFKA__SASL_MECHANISM" . }}{{- end }}
{{- with $v.kafka.region }}{{- $_ := set $env "OPSTRAIL_KAFKA__REGION" . }}{{- end }}
{{- with $v.kafka.plaintextHosts }}{{- $_ := set $env "OPSTRAIL_KAFKA__PLAINTEXT_HOSTS" (toJson .) }}{{- end }}
{{- with $v.kafka.librdkafka }}{{- $_ := set $env "OPSTRAIL_KAFKA__LIBRDKAFKA" (toJson .) }}{{- end }}
{{- if include "opstrail.hasCa" $v.kafka.ca }}{{- $_ := set $env "OPSTRAIL_KAFKA__CA_FILE" "/etc/opstrail/tls/kafka-ca.crt" }}{{- end }}
{{- if $v.kafka.clientCertificate }}
{{- $_ := set $env "OPSTRAIL_KAFKA__CERTIFICATE_FILE" "/etc/opstrail/tls/kafka.crt" }}
{{- $_ := set $env "OPSTRAIL_KAFKA__KEY_FILE" "/etc/opstrail/tls/kafka.key" }}
{{- end }}
{{- if and $v.strimzi.users.enabled (ne .role "topics") (include "opstrail.usesScram" $root) }}
{{- $_ := set $env "OPSTRAIL_KAFKA__USERNAME" (include "opstrail.kafkaSecret" .) }}
{{- end }}
{{- end }}
{{- if has "registry" $needs }}
{{- $_ := set $env "OPSTRAIL_REGISTRY__URL" $v.registry.url }}
{{- with $v.registry.plaintextHosts }}{{- $_ := set $env "OPSTRAIL_REGISTRY__PLAINTEXT_HOSTS" (toJson .) }}{{- end }}
{{- if include "opstrail.hasCa" $v.registry.ca }}{{- $_ := set $env "OPSTRAIL_REGISTRY__CA_FILE" "/etc/opstrail/tls/registry-ca.crt" }}{{- end }}
{{- if $v.registry.clientCertificate }}
{{- $_ := set $env "OPSTRAIL_REGISTRY__CERTIFICATE_FILE" "/etc/opstrail/tls/registry.crt" }}
{{- $_ := set $env "OPSTRAIL_REGISTRY__KEY_FILE" "/etc/opstrail/tls/registry.key" }}
{{- end }}
{{- end }}
{{- if has "opensearch" $needs }}
{{- $_ := set $env "OPSTRAIL_OPENSEARCH__URL" $v.opensearch.url }}
{{- $_ := set $env "OPSTRAIL_OPENSEARCH__AUTH" $v.opensearch.auth }}
{{- $_ := set $env "OPSTRAIL_STORE__INDEX_PREFIX" $v.opensearch.indexPrefix }}
{{- with $v.opensearch.region }}{{- $_ := set $env "OPSTRAIL_OPENSEARCH__REGION" . }}{{- end }}
{{- with $v.opensearch.plaintextHosts }}{{- $_ := set $env "OPSTRAIL_OPENSEARCH__PLAINTEXT_HOSTS" (toJson .) }}{{- end }}
{{- if include "opstrail.hasCa" $v.opensearch.ca }}{{- $_ := set $env "OPSTRAIL_OPENSEARCH__CA_FILE" "/etc/opstrail/tls/opensearch-ca.crt" }}{{- end }}
{{- if eq $v.opensearch.auth "certificate" }}
{{- $_ := set $env "OPSTRAIL_OPENSEARCH__CERTIFICATE_FILE" "/etc/opstrail/tls/opensearch.crt" }}
{{- $_ := set $env "OPSTRAIL_OPENSEARCH__KEY_FILE" "/etc/opstrail/tls/opensearch.key" }}
{{- end }}
{{- end }}
{{- if has "aws" $needs }}
{{- with $v.aws.region }}{{- $_ := set $env "AWS_REGION" . }}{{- end }}
{{- end }}
{{- if has .role (list "store" "store-setup") }}
{{- $_ := set $env "OPSTRAIL_STORE__PERIOD" $v.opensearch.period }}
{{- $_ := set $env "OPSTRAIL_STORE__SHARDS" (toString $v.opensearch.shards) }}
{{- $_ := set $env "OPSTRAIL_STORE__REPLICAS" $v.opensearch.replicas }}
{{- end }}
{{- if eq .role "retention" }}
{{- $_ := set $env "OPSTRAIL_STORE__KEEP_DAYS" (toString $v.retention.keepDays) }}
{{- end }}
{{- if has .role (list "discover" "split") }}
{{- $_ := set $env "OPSTRAIL_DISCOVER__ALLOWED_BUCKETS" (toJson $v.source.allowedBuckets) }}
{{- end }}
{{- if eq .role "discover" }}
{{- with $v.source.queueUrl }}{{- $_ := set $env "OPSTRAIL_DISCOVER__QUEUE_URL" . }}{{- end }}
{{- end }}
{{- if eq .role "history" }}
{{- $_ := set $env "OPSTRAIL_HISTORY__HOST" "0.0.0.0" }}
{{- $_ := set $env "OPSTRAIL_HISTORY__PORT" "8765" }}
{{- $_ := set $env "OPSTRAIL_HISTORY__ACCESS_FILE" "/etc/opstrail/access/history.yaml" }}
{{- if $v.history.tlsSecret }}
{{- $_ := set $env "OPSTRAIL_HISTORY__TLS_CERTIFICATE" "/etc/opstrail/tls/history.crt" }}
{{- $_ := set $env "OPSTRAIL_HISTORY__TLS_KEY" "/etc/opstrail/tls/history.key" }}
{{- else }}
{{- $_ := set $env "OPSTRAIL_HISTORY__TLS_ELSEWHERE" "true" }}
{{- end }}
{{- end }}
{{- if or (not $job) (eq .role "reread") }}
{{- $_ := set $env "OPSTRAIL_TELEMETRY__HOST" "0.0.0.0" }}
{{- $_ := set $env "OPSTRAIL_TELEMETRY__PORT" "9404" }}
{{- if not (has .role (list "history" "reread")) }}{{- $_ := set $env "OPSTRAIL_LOOP__DRAIN_S" (toString $v.drainSeconds) }}{{- end }}
{{- end }}
{{- /* As JSON: a number of a values file is a float, and 5000000 would become 5e+06. */}}
{{- range $settings := list $v.settings $values.settings }}
{{- range $name, $value := $settings }}
{{- $_ := set $env $name (ternary $value (toJson $value) (kindIs "string" $value)) }}
{{- end }}
{{- end }}
{{- range $name := keys $env | sortAlpha }}
- name: {{ $name }}
  value: {{ get $env $name | quote }}
{{- end }}
{{- end -}}

{{/* A pod of a role. Takes root, role, args, restartPolicy (jobs). Fits Pod Security restricted. */}}
{{- define "opstrail.podSpec" -}}
{{- $root := .root -}}
{{- $v := $root.Values -}}
{{- $values := include "opstrail.roleValues" . | fromYaml -}}
{{- $sources := include "opstrail.sources" . | trim -}}
serviceAccountName: {{ include "opstrail.serviceAccount" . }}
automountServiceAccountToken: false
# Variables of a namespace's Services could be taken for settings.
enableServiceLinks: false
{{- with $v.image.pullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- if .restartPolicy }}
restartPolicy: {{ .restartPolicy }}
{{- else }}
terminationGracePeriodSeconds: {{ $v.terminationGracePeriodSeconds }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: topology.kubernetes.io/zone
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "opstrail.selector" . | nindent 8 }}
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{- include "opstrail.selector" . | nindent 8 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile:
    type: RuntimeDefault
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
containers:
  - name: {{ .role }}
    image: {{ include "opstrail.image" $root | quote }}
    imagePullPolicy: {{ $v.image.pullPolicy }}
    args: {{ toJson .args }}
    env: {{- include "opstrail.env" . | nindent 6 }}
    {{- if or (not .restartPolicy) (eq .role "reread") }}
    ports:
      - name: metrics
        containerPort: 9404
        protocol: TCP
      {{- if eq .role "history" }}
      - name: http
        containerPort: 8765
        protocol: TCP
      {{- end }}
    {{- end }}
    {{- if not .restartPolicy }}
    # Live: the loop polls, whatever Kafka does. Ready: state is restored and records flow.
    startupProbe:
      httpGet: {path: /livez, port: metrics}
      periodSeconds: 2
      failureThreshold: 60
    livenessProbe:
      httpGet: {path: /livez, port: metrics}
      periodSeconds: 20
      timeoutSeconds: 5
      failureThreshold: 3
    readinessProbe:
      httpGet: {path: /readyz, port: metrics}
      periodSeconds: 5
      timeoutSeconds: 5
    {{- end }}
    resources: {{- toYaml $values.resources | nindent 6 }}
    securityContext:
      allowPrivilegeEscalation: false
      readOnlyRootFilesystem: true
      capabilities:
        drop: [ALL]
    volumeMounts:
      - name: tmp
        mountPath: /tmp
      {{- if $sources }}
      - name: opstrail
        mountPath: /etc/opstrail
        readOnly: true
      {{- end }}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: {{ $values.tmpSize }}
  {{- if $sources }}
  - name: opstrail
    projected:
      defaultMode: 0440
      sources: {{- $sources | nindent 8 }}
  {{- end }}
{{- end -}}
